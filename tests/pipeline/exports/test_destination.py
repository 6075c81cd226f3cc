"""Where exports go: resumed after a kill, checked by bytes, never outside the folder, on S3 as on disk."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import store
from pipeline.config import UserError
from pipeline.exports.export import export
from pipeline.manifest.read import Manifest


def sums(folder: Path) -> dict[str, str]:
    """``SHA256SUMS`` by path, each held against the file's bytes."""
    told = dict(reversed(line.split("  ", 1)) for line in (folder / "SHA256SUMS").read_text().splitlines())
    for path, sha256 in told.items():
        assert hashlib.sha256((folder / path).read_bytes()).hexdigest() == sha256
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {path for path in there if not path.startswith(".spotdiff-export/")} == told.keys() | {"SHA256SUMS"}
    return told


@pytest.mark.parametrize("to", ["hf", "webdataset", "imagefolder", "coco"])
def test_a_second_call_writes_only_what_is_damaged_or_gone(toys: Manifest, tmp_path: Path, to: str) -> None:
    out = tmp_path / "out"
    first = export(toys.path, to, str(out))
    assert first.reused == 0
    before = sums(out)
    pieces = len([path for path in (out / ".spotdiff-export").iterdir() if path.suffix == ".done"]) - 1
    assert export(toys.path, to, str(out)).reused == pieces
    victims = [next(path for path in sorted(before) if split in path) for split in ("train", "test")]
    (out / victims[0]).unlink()
    damaged = bytearray((out / victims[-1]).read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (out / victims[-1]).write_bytes(damaged)
    assert export(toys.path, to, str(out)).reused < pieces
    assert sums(out) == before


def test_a_killed_export_goes_on(toys: Manifest, tmp_path: Path) -> None:
    out = tmp_path / "out"
    program = (
        "import os, signal, sys\nfrom pipeline.exports import imagefolder\nfrom pipeline.exports.export import export\n"
        "imagefolder.PER_FOLDER = 40\n"
        "kill = lambda done, of: done > 100 and os.kill(os.getpid(), signal.SIGKILL)\n"
        f"export({toys.path!r}, 'imagefolder', {str(out)!r}, report=kill if sys.argv[1] == 'kill' else print)\n"
    )
    runs = [
        subprocess.run([sys.executable, "-c", program, how], env={**os.environ}, capture_output=True, text=True)
        for how in ("kill", "go on")
    ]
    assert runs[0].returncode == -signal.SIGKILL
    assert runs[1].returncode == 0, runs[1].stderr
    whole = tmp_path / "whole"
    subprocess.run(
        [sys.executable, "-c", program.replace(str(out), str(whole)), "whole"], check=True, capture_output=True
    )
    assert sums(out) == sums(whole)


def test_other_rows_options_and_other_peoples_folders_are_refused(toys: Manifest, tmp_path: Path) -> None:
    export(toys.path, "webdataset", str(tmp_path / "out"), split="test")
    with pytest.raises(UserError, match="holds an export of other rows or options"):
        export(toys.path, "webdataset", str(tmp_path / "out"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="is not empty, and no export of ours"):
        export(toys.path, "hf", str(tmp_path / "mine"))
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    with pytest.raises(UserError, match="has no rows of split 'tset'"):
        export(toys.path, "hf", str(tmp_path / "new"), split="tset")
    with pytest.raises(UserError, match="--to csv: there is hf, webdataset, imagefolder, coco"):
        export(toys.path, "csv", str(tmp_path / "new"))


@pytest.mark.parametrize("to", ["webdataset", "imagefolder", "coco"])
@pytest.mark.parametrize(
    ("column", "name"), [("variation_id", "../../escaped"), ("variation_id", "/tmp/x"), ("split", "../up")]
)
def test_names_from_the_data_never_leave_the_folder(
    toys: Manifest, tmp_path: Path, to: str, column: str, name: str
) -> None:
    table = pq.read_table(toys.paths[0]).slice(0, 3)
    hostile = pa.array([name, *table.column(column).to_pylist()[1:]])
    table = table.set_column(table.schema.get_field_index(column), column, hostile)
    pq.write_table(table, tmp_path / "theirs.parquet")
    out = tmp_path / "deep" / "er" / "out"
    with pytest.raises(UserError, match="cannot name a file"):
        export(str(tmp_path / "theirs.parquet"), to, str(out))
    outside = [path for path in tmp_path.rglob("*") if path.is_file() and out not in path.parents]
    assert outside == [tmp_path / "theirs.parquet"]


def test_s3_gets_the_same_bytes_as_a_disk(toys: Manifest, s3: str, tmp_path: Path) -> None:
    for to in ("hf", "webdataset", "coco"):
        export(toys.path, to, str(tmp_path / to), split="test")
        done = export(toys.path, to, f"{s3}/{to}", split="test")
        again = export(toys.path, to, f"{s3}/{to}", split="test")
        assert (done.reused, again.files) == (0, done.files)
        assert again.reused > 0
        for path in sums(tmp_path / to):
            assert store.read_bytes(f"{s3}/{to}/{path}") == (tmp_path / to / path).read_bytes()
    shutil.rmtree(tmp_path / "hf")
