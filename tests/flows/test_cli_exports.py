"""``spotdiff stats | diff | merge | card | export`` through their real entry point."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from commands import BIN, run_command
from toy_stages import build, write_pictures


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("cli")
    for name, first, count in (("a", 0, 2), ("b", 2, 3)):
        build(write_pictures(place / name, count, first), place / f"{name}.parquet", place / "work")
    return place


def test_stats_merge_and_diff(folder: Path) -> None:
    done = run_command("spotdiff", "merge", "a.parquet", "b.parquet", "--out", "m.parquet", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert "m.parquet: 60 rows of 2 manifests" in done.stdout
    assert run_command("spotdiff", "validate", "m.parquet", cwd=folder).returncode == 0
    told = json.loads(run_command("spotdiff", "stats", "m.parquet", "--json", cwd=folder).stdout)
    assert told["splits"][-1]["rows"] == 60
    assert "rights" in run_command("spotdiff", "stats", "m.parquet", cwd=folder).stdout
    done = run_command("spotdiff", "diff", "a.parquet", "m.parquet", "--html", "d.html", cwd=folder)
    assert done.returncode == 1
    assert "its source is not in A" in done.stdout
    assert (folder / "d.html").read_text().startswith("<!DOCTYPE html>")
    assert run_command("spotdiff", "diff", "a.parquet", "a.parquet", cwd=folder).returncode == 0
    done = run_command("spotdiff", "merge", "a.parquet", "m.parquet", "--out", "x.parquet", cwd=folder)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1


def test_card_and_export_and_a_push_that_asks_nobody(folder: Path) -> None:
    done = run_command("spotdiff", "card", "a.parquet", "--license", "cc0-1.0", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert (folder / "__card__" / "a" / "croissant.json").is_file()
    command = [BIN / "spotdiff", "export", "a.parquet", "out", "--to", "webdataset", "--push-to-hub", "lab/poses"]
    nobody = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0"}
    done = subprocess.run(command, cwd=folder, env=nobody, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "dry run" in done.stdout
    assert "lab/poses" in done.stdout
    assert (folder / "out" / "SHA256SUMS").is_file()
    done = subprocess.run([*command, "--yes"], cwd=folder, env=nobody, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("--push-to-hub lab/poses: ")
    for wrong in (["--push-to-hub", "no-owner"], ["--pairs", "pose"]):
        done = run_command("spotdiff", "export", "a.parquet", "new", "--to", "hf", *wrong, cwd=folder)
        assert done.returncode == 1
        assert done.stderr.strip().startswith(wrong[0])
        assert not (folder / "new").exists()
