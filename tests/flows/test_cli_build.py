"""``spotdiff build`` from end to end, with random-weight models: real code, real server, pictures of noise."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from commands import BIN, run_command
from standins import profile
from test_cli import HEAVY, imported

from pipeline.manifest.read import Manifest
from tinyworld.world.export import export

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def as_toml(data: dict[str, Any], prefix: str = "") -> str:
    """A profile as TOML; JSON's scalars and lists are TOML's, too."""
    plain = [f"{name} = {json.dumps(value)}" for name, value in data.items() if not isinstance(value, dict)]
    tables = [
        f"[{prefix}{name}]\n{as_toml(value, f'{prefix}{name}.')}"
        for name, value in data.items()
        if isinstance(value, dict)
    ]
    return "\n".join([*plain, *tables])


@pytest.fixture(scope="module")
def asked(standins: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Arguments of a build of three sources, manifest and work folder in the current folder."""
    folder = tmp_path_factory.mktemp("build")
    export(folder, count=3, seed=3, size=64)
    (folder / "noise.toml").write_text(as_toml(profile(standins).model_dump(exclude_none=True)))
    return [
        "build", str(folder / "images"), "--poses", str(folder / "person_keypoints.json"), "--manifest", "m.parquet",
        "--profile", str(folder / "noise.toml"), "--models-root", str(standins),
        "--subjects", "2", "--backgrounds", "2", "--shard-size", "1",
    ]  # fmt: skip


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command starts its own."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)


def children(of: int) -> list[psutil.Process]:
    return psutil.Process(of).children(recursive=True)


def started(asked: list[str], folder: Path) -> subprocess.Popen[str]:
    """A build that has opened its sources and goes on."""
    command = [str(BIN / "spotdiff"), *asked]
    running = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 200
    while not list(folder.glob("work/m-*/sources/*.parquet")) and time.monotonic() < deadline:
        assert running.poll() is None, running.communicate()
        time.sleep(0.05)
    return running


def test_a_build_is_judged_by_what_came_of_it_and_then_answers_from_the_ledger(
    asked: list[str], tmp_path: Path
) -> None:
    first = run_command("spotdiff", *asked, cwd=tmp_path)
    manifest = Manifest(str(tmp_path / "m.parquet"))
    assert manifest.footer["config"]["subjects"] == 2
    assert {model["role"] for model in manifest.footer["models"] if model["fingerprint"]} >= {"base", "sam", "clip"}
    last = first.stderr.splitlines()[-1]
    if manifest.rows:
        assert first.returncode == 0
        assert manifest.digest in first.stdout
    else:  # noise that the gates see no person in
        assert first.returncode == 1
        assert last.startswith("nothing was accepted (")
    assert "Traceback" not in first.stderr
    assert "CancelledError" not in first.stderr
    assert not list(tmp_path.glob("work/**/.*"))

    again = run_command("spotdiff", *asked, cwd=tmp_path)
    assert again.returncode == first.returncode
    assert again.stdout == first.stdout
    assert again.stderr.splitlines()[-1:] == ([last] if not manifest.rows else [])
    code, modules = imported(*asked, cwd=tmp_path)
    assert code == first.returncode
    assert not modules & HEAVY - {"cv2"}

    told = run_command("spotdiff", "status", "m.parquet", cwd=tmp_path)
    assert told.returncode == 0
    assert "variations  3 of 3 shards done" in told.stdout
    assert manifest.digest in told.stdout


def test_ctrl_c_stops_cleanly_and_the_same_command_goes_on(asked: list[str], tmp_path: Path) -> None:
    running = started(asked, tmp_path)
    family = children(running.pid)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=120)
    assert running.returncode == 130
    assert "the same command goes on from here" in said
    assert "Traceback" not in said
    assert not any(process.is_running() for process in family)
    assert not list(tmp_path.glob("work/**/.*"))
    assert "not finished" in run_command("spotdiff", "status", "m.parquet", cwd=tmp_path).stdout

    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("work/m-*/*/*.parquet")}
    run_command("spotdiff", *asked, cwd=tmp_path)
    after = {path: path.stat().st_mtime_ns for path in tmp_path.glob("work/m-*/*/*.parquet")}
    assert before.items() <= after.items()
    assert (tmp_path / "m.parquet").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent is gone")
def test_a_killed_command_leaves_no_server_behind(asked: list[str], tmp_path: Path) -> None:
    running = started(asked, tmp_path)
    family = children(running.pid)
    assert family
    running.kill()
    running.communicate()
    _, alive = psutil.wait_procs(family, timeout=20)
    assert alive == []


def test_only_bad_files_is_one_clear_line(asked: list[str], tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    for name, data in {"a.jpg": b"", "b.png": b"no picture", "c.jpg": b"\xff\xd8\xff\xe0 cut off"}.items():
        (tmp_path / "bad" / name).write_bytes(data)
    assert asked[2] == "--poses", "a pose file that names none of the sources is told before they are opened"
    done = run_command("spotdiff", "build", "bad", *asked[4:], cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    rejected = Manifest(str(tmp_path / "m.parquet")).rejected_path
    assert done.stderr.splitlines()[-1] == (
        f"nothing was accepted (2 unreadable, 1 empty_file); see __rejected__/{Path(rejected).name}"
    )
    assert "Traceback" not in done.stderr


def test_a_server_that_does_not_answer_is_named(
    asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    done = run_command("spotdiff", *asked, cwd=tmp_path)
    assert done.returncode == 1
    assert "no Prefect server answers at http://127.0.0.1:9/api" in done.stderr
    assert "Traceback" not in done.stderr
