"""``spotdiff models`` through its real entry point, and builds that miss what it gets."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from commands import run_command

from pipeline.models.fetch import FETCHABLE
from tinyworld.world.export import export


def models(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return run_command("spotdiff", "models", *arguments)


@pytest.fixture(autouse=True)
def no_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing fetched yet, and no network."""
    monkeypatch.setenv("SPOTDIFF_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")


def test_a_wheel_given_by_path_serves_without_network(tmp_path: Path) -> None:
    wheel = os.environ.get("MEDIAPIPE_WHEEL")
    if not wheel:
        pytest.skip("MEDIAPIPE_WHEEL names no wheel")
    done = models("fetch", "photos", "--wheel", wheel, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Apache-2.0" in done.stdout
    assert f"--models-root {tmp_path}" in done.stdout
    assert FETCHABLE["photos"].is_in(tmp_path / "blazepose")
    again = models("fetch", "photos", "--out", tmp_path)
    files = "pose_detection.tflite and pose_landmark_full.tflite"
    assert again.stdout == f"{tmp_path}/blazepose: {files} are there, sha256 checked\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fetch", "everything"], "profile 'everything': No such file or directory; shipped profiles: photos, "),
        (["fetch", "photos"], "pip download mediapipe==0.10.21: "),
        (["fetch", "photos", "--wheel", "nowhere.whl"], "wheel nowhere.whl: "),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, arguments: list[str], said: str) -> None:
    done = models(*arguments)
    assert done.returncode == 1
    assert done.stderr.startswith(said)
    (_,) = [line for line in done.stderr.splitlines() if not line.startswith("WARNING")]
    assert not list(tmp_path.rglob("*.tflite"))


def test_list_says_what_is_there_and_what_is_missing() -> None:
    done = models("list")
    assert done.returncode == 0
    lines = [line.split(maxsplit=4) for line in done.stdout.splitlines()]
    assert {"tiny", "photos"} <= {name for name, *_ in lines}
    extractor = next(line for line in lines if line[:2] == ["photos", "extractor"])
    assert extractor[2:4] == ["fetched:blazepose", "Apache-2.0"]
    assert extractor[4].startswith("missing: ")
    assert extractor[4].endswith("run `spotdiff models fetch photos`")
    shipped = [line for line in lines if line[2].startswith("package:")]
    assert all(Path(line[4]).is_dir() for line in shipped)


def test_a_build_without_the_extractor_s_files_says_how_to_get_them(tmp_path: Path) -> None:
    sources = export(tmp_path / "world", count=1, seed=1, size=64).parent
    told = ["build", sources / "images", "--profile", "photos", "--manifest", tmp_path / "m.parquet"]
    done = run_command("spotdiff", *told, "--work", tmp_path / "work")
    assert done.returncode == 1
    (_,) = [line for line in done.stderr.splitlines() if not line.startswith("WARNING")]
    assert "run `spotdiff models fetch photos`" in done.stderr
