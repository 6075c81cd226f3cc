"""``spotdiff build --part I/N``: workers that know nothing of each other, and ``spotdiff replay``."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import ROOT, run_command
from toy_flow import open_toy
from toy_stages import write_pictures

from pipeline.config import UserError
from pipeline.manifest.finish import build_manifest
from pipeline.runner.plan import Part

SOURCES = 9
COMMAND = [sys.executable, str(ROOT / "tests" / "flows" / "toy_part.py")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "in", SOURCES)
    return tmp_path


def started(folder: Path, *what: str, seconds: float = 0.0) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PREFECT_API_URL": "http://127.0.0.1:9/api"}  # unused
    return subprocess.Popen(
        [*COMMAND, *what, "in", "m.parquet", "work", str(seconds)],
        cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def ended(running: subprocess.Popen[str], code: int = 0) -> str:
    printed, said = running.communicate(timeout=120)
    assert running.returncode == code, said
    return printed + said


def fragments(folder: Path, stage: str = "*") -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.glob(f"work/*/{stage}/*.parquet")}


def test_three_parts_at_once_one_killed_and_run_again_then_the_whole(folder: Path) -> None:
    calm = build_manifest(open_toy(str(folder / "in"), str(folder / "calm.parquet"), str(folder / "calm")))
    parts = [started(folder, "part", f"{number}/3", seconds=0.1) for number in (1, 2, 3)]
    deadline = time.monotonic() + 120
    while len(fragments(folder, "variations")) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    parts[1].kill()
    parts[1].communicate()
    assert "part 1/3: 3 of 9 shards, all done" in ended(parts[0])
    assert "m.parquet is written by the same command without --part" in ended(parts[2])
    before = fragments(folder, "variations")
    assert len(before) < SOURCES
    assert "part 2/3: 3 of 9 shards, all done" in ended(started(folder, "part", "2/3"))
    assert not (folder / "m.parquet").exists()
    after = fragments(folder)
    build = open_toy(str(folder / "in"), str(folder / "m.parquet"), str(folder / "work"))
    assert build.complete(build.scan())
    assert build_manifest(build).digest == calm.digest
    assert fragments(folder) == after, "the whole has nothing left to compute"
    assert before.items() <= after.items(), "what other parts have done is left alone"
    assert not list(folder.rglob("*spotdiff-tmp*"))


def test_one_part_alone_opens_all_sources_and_leaves_the_rest_to_the_others(folder: Path) -> None:
    build = open_toy(str(folder / "in"), str(folder / "m.parquet"), str(folder / "work"))
    build.run_part(Part(2, 3))
    done = [len(chain) for chain in build.scan().chains]
    assert done == [1, 4, 1] * 3
    assert build_manifest(build).rows == SOURCES * 12


def test_more_parts_than_shards(folder: Path) -> None:
    build = open_toy(str(folder / "in"), str(folder / "m.parquet"), str(folder / "work"))
    build.run_part(Part(12, 12))
    assert [len(chain) for chain in build.scan().chains] == [1] * SOURCES


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "1/0", "-1/3", "1/3/5", "²/3"])
def test_a_share_that_is_none_is_told(text: str) -> None:
    with pytest.raises(UserError, match="--part"):
        Part.parse(text)


def test_the_command_refuses_a_part_of_ray(tmp_path: Path) -> None:
    done = run_command("spotdiff", "build", tmp_path, "--manifest", "m.parquet", "--part", "1/2", "--engine", "ray")
    assert done.returncode == 1
    assert done.stderr.strip() == "--part: Ray spreads the shards itself; leave out --part, or --engine ray"


def test_replay_says_equal_or_what_differs(folder: Path) -> None:
    ended(started(folder, "part", "1/1"))
    before = fragments(folder)
    for stage in ("sources", "poses", "subjects", "variations"):
        assert f"{stage} 000004: equal," in ended(started(folder, "replay", stage, "4"))
    told = ended(started(folder, "replay", "nonsense", "4"), code=1)
    assert "no stage 'nonsense'; the build's are sources, poses, subjects, variations" in told
    assert fragments(folder) == before
