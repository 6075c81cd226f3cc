"""The ``spotdiff`` command through its real entry point."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from commands import ROOT, run_command
from toy_flow import open_toy
from toy_stages import write_pictures

from pipeline.manifest.finish import build_manifest

HEAVY = {"torch", "diffusers", "transformers", "prefect", "controlnet_aux", "segment_anything", "cv2"}
IMPORTED = """
import atexit, sys
atexit.register(lambda: print("IMPORTED", *sorted(m for m in sys.modules if "." not in m), file=sys.stderr))
from flows.cli import main
sys.argv[0] = "spotdiff"
main()
"""


def spotdiff(*arguments: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return run_command("spotdiff", *arguments, cwd=cwd)


def imported(*arguments: str | Path, cwd: Path = ROOT) -> tuple[int, set[str]]:
    """Exit code of a command, and the modules that it imported."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED, *(str(part) for part in arguments)],
        cwd=cwd, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    said = next(line for line in done.stderr.splitlines() if line.startswith("IMPORTED"))
    return done.returncode, set(said.split()[1:])


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the finished toy build ``toy.parquet``."""
    folder = tmp_path_factory.mktemp("toy")
    sources = write_pictures(folder / "in", 3)
    outcome = build_manifest(open_toy(str(sources), str(folder / "toy.parquet"), str(folder / "work")))
    assert outcome.problem is None
    return folder


def test_help_names_the_commands_and_loads_nothing_heavy() -> None:
    done = spotdiff("--help")
    assert done.returncode == 0
    for name in ("build", "status", "validate", "report", "contact-sheet", "world"):
        assert name in done.stdout
    code, modules = imported("--help")
    assert code == 0
    assert not modules & (HEAVY | {"pyarrow", "numpy"})


def test_help_of_build_names_every_option() -> None:
    done = spotdiff("build", "--help")
    for name in (
        "manifest", "profile", "poses", "subjects", "backgrounds", "seed", "limit", "shard-size", "work", "retry",
        "max-failure-rate", "models-root", "workers", "verbose", "no-report",
    ):  # fmt: skip
        assert f"--{name}" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["build", "nowhere", "--manifest", "m.parquet"], "sources: 'nowhere': no such file or folder"),
        (["build", ".", "--manifest", "m.csv"], "manifest 'm.csv': the name must end in .parquet"),
        (["build", ".", "--manifest", "m.parquet", "--profile", "big"], "profile 'big': No such file or directory"),
        (["validate", "nowhere.parquet"], "manifest nowhere.parquet: no such file or folder of parts"),
        (["status", "nowhere.parquet"], "no build of nowhere.parquet was started with --work work"),
    ],
)
def test_a_user_s_mistake_is_one_line(arguments: list[str], said: str, tmp_path: Path) -> None:
    done = spotdiff(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["build", "."],
        ["build", ".", "--manifest", "m.parquet", "--subjects", "0"],
        ["build", ".", "--manifest", "m.parquet", "--retry", "everything"],
        ["buidl"],
    ],
)
def test_wrong_usage_is_2(arguments: list[str]) -> None:
    assert spotdiff(*arguments).returncode == 2


def test_the_command_asks_for_no_telemetry_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.cli import QUIET

    assert {"PREFECT_SERVER_ANALYTICS_ENABLED", "DO_NOT_TRACK", "RAY_USAGE_STATS_ENABLED"} <= set(QUIET)
    code = "import os, flows.cli, sys; sys.argv[1:] = ['--help']\ntry: flows.cli.main()\nexcept SystemExit: pass\n"
    code += "print({name: os.environ[name] for name in flows.cli.QUIET})"
    environment = {name: value for name, value in os.environ.items() if name not in QUIET}
    environment["RAY_USAGE_STATS_ENABLED"] = "1"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == str({**QUIET, "RAY_USAGE_STATS_ENABLED": "1"})


def test_validate_says_that_nothing_is_wrong(toy: Path) -> None:
    done = spotdiff("validate", toy / "toy.parquet")
    assert done.returncode == 0, done.stderr
    assert "36 rows, nothing wrong" in done.stdout
    assert not imported("validate", toy / "toy.parquet")[1] & (HEAVY - {"cv2"})


def test_validate_lists_what_is_wrong(toy: Path, tmp_path: Path) -> None:
    table = pq.read_table(toy / "toy.parquet")
    column = table.column_names.index("sha256")
    wrong = table.set_column(column, table.field(column), [["0" * 64] * len(table)])
    pq.write_table(wrong, tmp_path / "wrong.parquet")
    done = spotdiff("validate", tmp_path / "wrong.parquet")
    assert done.returncode == 1
    assert "sha256" in done.stderr


def test_world_render_draws_pictures_with_truth(tmp_path: Path) -> None:
    arguments = ("world", "render", "--count", "3", "--seed", "5", "--size", "64", "--out")
    for name in ("one", "two"):
        assert spotdiff(*arguments, tmp_path / name).returncode == 0
    truth = json.loads((tmp_path / "one" / "person_keypoints.json").read_text())
    assert len(truth["images"]) == len(truth["annotations"]) == 3
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*"))
    assert len([path for path in files if path.parts[0] == "images"]) == 3
    assert len([path for path in files if path.parts[0] == "masks"]) == 3
    assert all((tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes() for path in files)
