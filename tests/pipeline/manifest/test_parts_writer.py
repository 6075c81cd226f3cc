"""Parts of a manifest that are written side by side."""

from __future__ import annotations

import functools
import threading
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from toy_stages import build, write_pictures

from pipeline import process
from pipeline.manifest.part import PartWriter
from pipeline.manifest.parts import PartsWriter
from pipeline.manifest.read import Manifest


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = tmp_path_factory.mktemp("made")
    build(write_pictures(folder / "in", 3), folder / "v1.parquet", folder / "work")
    return Manifest(str(folder / "v1.parquet"))


def test_parts_are_written_side_by_side_and_told_in_order(
    made: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "cores", lambda: 2)
    rows = pq.read_table(made.paths[0]).to_pylist()
    at_once = threading.Barrier(2, timeout=30)  # breaks if one part waits for the end of another

    def fill(number: int, part: PartWriter, stop: threading.Event) -> int:
        at_once.wait()
        for row in rows[number::4]:
            part.add(row)
        return number

    told: list[int] = []
    writer = PartsWriter(str(tmp_path / "v1.parquet"), {"format": made.footer["format"]}, 1 << 30)
    writer.fill([functools.partial(fill, number) for number in range(4)], told.append)
    writer.close()
    assert told == [0, 1, 2, 3]
    manifest = Manifest(str(tmp_path / "v1.parquet"))
    assert len(manifest.paths) == 4 and (manifest.rows, manifest.digest) == (len(rows), made.digest)
    assert [pq.read_table(path).num_rows for path in manifest.paths] == [len(rows[number::4]) for number in range(4)]


def test_a_part_that_fails_ends_the_others_and_leaves_nothing(made: Manifest, tmp_path: Path) -> None:
    row = pq.read_table(made.paths[0]).to_pylist()[0]

    def fail(part: PartWriter, stop: threading.Event) -> None:
        part.add(row)
        raise RuntimeError("no such luck")

    def endless(part: PartWriter, stop: threading.Event) -> None:
        assert stop.wait(30), "nobody says that it is over"

    writer = PartsWriter(str(tmp_path / "v1.parquet"), {}, 1 << 30)
    with pytest.raises(RuntimeError, match="no such luck"):
        writer.fill([fail, endless], lambda _: None)
    writer.abort()
    assert list(tmp_path.iterdir()) == []
