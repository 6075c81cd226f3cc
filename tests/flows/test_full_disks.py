"""A disk that fills up during a build is named in one line; more space, and the same command goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import ROOT, TOYS
from toy_stages import write_pictures

SOURCES = 4
BUILD = """
from toy_flow import open_toy
from flows.cli import command_line
from flows.engines.threads import ThreadEngine
from pipeline.manifest.finish import build_manifest
import sys
command_line(lambda: build_manifest(open_toy("in", sys.argv[1], sys.argv[2]), ThreadEngine(2)).problem is not None)
"""


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of its own, of 40 kB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=40k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no right to mount a small file system: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def build(folder: Path, manifest: str, work: str, **environment: str) -> subprocess.CompletedProcess[str]:
    path = f"{ROOT}:{ROOT / 'tests' / 'flows'}:{TOYS}"
    return subprocess.run(
        [sys.executable, "-c", BUILD, manifest, work],
        cwd=folder, env={**os.environ, "PYTHONPATH": path, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("field", ["manifest", "work"])
def test_a_full_disk_is_named_in_one_line_and_the_build_goes_on_with_more(
    field: str, small: Path, tmp_path: Path
) -> None:
    write_pictures(tmp_path / "in", SOURCES)
    places = {"manifest": "m.parquet", "work": "work"}
    places[field] = f"small/{places[field]}"
    full = build(tmp_path, **places)
    assert (full.returncode, full.stdout) == (1, "")
    assert full.stderr.count("\n") == 1, full.stderr
    assert f"{small}/" in full.stderr
    assert "No space left on device; free some space, or name a folder on another disk" in full.stderr
    assert not (tmp_path / "m.parquet").exists()
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]

    subprocess.run(["mount", "-o", "remount,size=8m", str(small)], check=True)
    more = build(tmp_path, **places)
    assert (more.returncode, more.stderr) == (0, "")


def test_a_full_temporary_folder_is_named(small: Path, tmp_path: Path) -> None:
    write_pictures(tmp_path / "in", 3 * SOURCES)
    full = build(tmp_path, "m.parquet", "work", TMPDIR=str(small))
    if full.returncode == 0:
        pytest.skip("nothing of a build of this size goes through the temporary folder")
    assert full.stderr.count("\n") == 1, full.stderr
    assert f"temporary folder {small}: No space left on device; free some space there, or set TMPDIR" in full.stderr
