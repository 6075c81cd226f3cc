"""Damage that used to be silent: each kind is found, with its place and a remedy."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from toy_stages import build, recipe, write_pictures

from pipeline.imaging.png import to_png
from pipeline.imaging.skeleton import draw_pose
from pipeline.manifest.checksum import BLANK, stamp
from pipeline.manifest.digest import RowsDigest, canonical_columns
from pipeline.manifest.read import Manifest
from pipeline.manifest.schema import FOOTER, SCHEMA
from pipeline.manifest.validate.manifest import validate
from pipeline.manifest.write import write_manifest
from pipeline.runner.duplicates import Duplicates
from pipeline.runner.ledger import DamagedFragment, Ledger

Footer = dict[str, Any]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = tmp_path_factory.mktemp("built")
    stages = recipe(subjects={"count": 2, "rejects": 4}, variations={"count": 2})
    build(write_pictures(folder / "in", 10), folder / "v1.parquet", folder / "work", stages)
    return Manifest(str(folder / "v1.parquet"))


@pytest.fixture
def copy(built: Manifest, tmp_path: Path) -> Path:
    """The manifest with its list of misses, to be damaged."""
    misses = tmp_path / Path(built.rejected_path).relative_to(Path(built.path).parent)
    misses.parent.mkdir()
    misses.write_bytes(Path(built.rejected_path).read_bytes())
    (tmp_path / "v1.parquet").write_bytes(Path(built.path).read_bytes())
    return tmp_path / "v1.parquet"


def _write(path: Path, table: pa.Table, footer: Footer | None) -> None:
    """A table as a manifest; with a digest of its own if the footer is to have one, and a checksum that fits."""
    said = {FOOTER: json.dumps({**footer, "checksum": BLANK}).encode()} if footer is not None else {}
    pq.write_table(table.replace_schema_metadata({**(SCHEMA.metadata or {}), **said}), path)
    if footer is not None:
        with open(path, "r+b") as file:
            stamp(file)


def _proved(table: pa.Table, footer: Footer) -> Footer:
    """The footer with the digest that the rows have now: as a fault of our own would write it."""
    digest = RowsDigest()
    for batch in table.combine_chunks().to_batches():
        digest.add_columns(canonical_columns(batch))
    sums = {"rows": table.num_rows, "digest": digest.value}
    return {**footer, **sums, "total": {"parts": 1, **sums}}


FOOTERS: dict[str, tuple[Callable[[Footer], Footer], str]] = {
    "another format": (lambda footer: {**footer, "format": 99}, "says format 99; this version knows 1; take"),
    "no format": (lambda footer: _without(footer, "format"), "lacks 'format'"),
    "digest": (lambda footer: {**footer, "digest": "0" * 64}, f"the footer says {'0' * 64}"),
    "rows": (lambda footer: {**footer, "rows": 3}, "rows, the footer says 3"),
    "total's digest": (lambda footer: {**footer, "total": {**footer["total"], "digest": "1"}}, "the footer says 1 of"),
    "total's rows": (lambda footer: {**footer, "total": {**footer["total"], "rows": 1}}, "the footer says 1 in all"),
    "no total": (lambda footer: _without(footer, "total"), "parts are missing"),
    "empty total": (lambda footer: {**footer, "total": {}}, "parts are missing"),
    "no total, no part": (lambda footer: _without(footer, "total", "part"), "lacks 'total'"),
    "foreign": (lambda _: {"x": 1}, "lacks 'digest'"),
}  # fmt: skip


def _without(footer: Footer, *names: str) -> Footer:
    return {name: value for name, value in footer.items() if name not in names}


@pytest.mark.parametrize("fault", FOOTERS)
def test_footers(copy: Path, built: Manifest, fault: str) -> None:
    change, message = FOOTERS[fault]
    _write(copy, pq.read_table(built.path), change(built.footer))
    problems = [str(problem) for problem in validate(str(copy))]
    assert any(message in problem for problem in problems), problems
    assert all(re.search("get the file|build it again|take the version|spotdiff filter", said) for said in problems)


def _set(row: int, **values: Any) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        rows = table.to_pylist()
        rows[row] = {**rows[row], **values}
        return pa.Table.from_pylist(rows, SCHEMA)

    return change


def _png(picture: Any) -> dict[str, Any]:
    return {"bytes": to_png(picture), "path": "x.png"}


def _half() -> Image.Image:
    pixels = np.zeros((16, 16), np.uint8)
    pixels[:8] = 255
    return Image.fromarray(pixels)


OTHER_POSE = np.random.default_rng(5).random((18, 3))
ROWS: dict[str, tuple[Callable[[pa.Table], pa.Table], int | None, str, str]] = {
    "mask and area": (_set(3, mask=_png(_half())), 3, "mask", "covers 0.500000 of the image, mask_area says 0.406"),
    "control": (_set(3, control=_png(draw_pose(OTHER_POSE, 16, 0.03))), 3, "control", "shows another pose"),
    "pose_score": (_set(3, pose_score=0.3), 3, "pose_score", "below the profile's own threshold 0.5"),
    "mask_score": (_set(3, mask_score=0.1), 3, "mask_score", "below the profile's own threshold 0.6"),
    "infinite": (_set(3, clip_t_subject=float("inf")), 3, "clip_t_subject", "inf is not in -1..1"),
    "nan": (_set(3, subject_kept=float("nan")), 3, "subject_kept", "nan is not in 0..1"),
    "order": (lambda t: t.take([1, 0, *range(2, len(t))]), 1, "variation_id", "rows are sorted by"),
    "widened": (lambda t: _cast(t, "pose_score", pa.float64()), None, "pose_score", "is double, not float"),
    "widened whole": (lambda t: _cast(t, "attempt", pa.int64()), None, "attempt", "is int64, not int32"),
    "twice": (lambda t: t.append_column("split", t.column("split")), None, "split", "is there 2 times"),
    "added": (lambda t: t.append_column("mine", pa.nulls(len(t), pa.int8())), None, "mine", "is no column"),
}  # fmt: skip


def _cast(table: pa.Table, name: str, kind: pa.DataType) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, table.column(name).cast(kind))


@pytest.mark.parametrize("fault", ROWS)
def test_rows_whose_digest_was_made_again(copy: Path, built: Manifest, fault: str) -> None:
    change, row, column, message = ROWS[fault]
    table = change(pq.read_table(built.path))
    _write(copy, table, _proved(table, built.footer) if row is not None else built.footer)
    problems = validate(str(copy))
    assert [(problem.row, problem.column) for problem in problems] == [(row, column)]
    assert message in problems[0].message
    assert problems[0].remedy


def test_a_negative_width_is_told(copy: Path, built: Manifest) -> None:
    table = _set(3, width=-16)(pq.read_table(built.path))
    _write(copy, table, _proved(table, built.footer))
    assert {(problem.row, problem.column) for problem in validate(str(copy))} == {
        (3, name) for name in ("image", "mask", "control")
    }


@pytest.mark.parametrize("said", ["[" * 100_000, "[]", "{", "\\xff"])
def test_a_footer_that_cannot_be_read_is_none(copy: Path, said: str) -> None:
    pq.write_table(pq.read_table(copy).replace_schema_metadata({**(SCHEMA.metadata or {}), FOOTER: said}), copy)
    (problem,) = validate(str(copy))
    assert "does not say how it was made" in str(problem)


def test_the_list_of_misses(copy: Path) -> None:
    misses = Path(Manifest(str(copy)).rejected_path)
    data = misses.read_bytes()
    for other in (data[:40] + bytes([data[40] ^ 1]) + data[41:], b"text", None):
        misses.unlink()
        if other is not None:
            misses.write_bytes(other)
        (problem,) = validate(str(copy))
        assert str(misses) in problem.message
        assert "build it again" in problem.remedy


@pytest.mark.parametrize("place", ["../outside.parquet", "__rejected__/../../outside.parquet", "/outside.parquet"])
def test_a_footer_leads_to_no_file_elsewhere(copy: Path, built: Manifest, place: str) -> None:
    footer = {**built.footer, "rejected": {**built.footer["rejected"], "path": place}}
    _write(copy, pq.read_table(copy), footer)
    assert Manifest(str(copy)).rejected_path == f"{copy.parent}/v1.rejected.parquet"
    assert validate(str(copy))


def test_foreign_files_among_the_parts(tmp_path: Path) -> None:
    build(write_pictures(tmp_path / "in", 3), tmp_path / "v1.parquet", tmp_path / "work", max_part_bytes=20_000)
    pq.write_table(pa.table({"a": [1]}), tmp_path / "v1" / "mine.parquet")
    (problem,) = validate(str(tmp_path / "v1.parquet"))
    assert str(problem) == f"{tmp_path}/v1/mine.parquet: is no part of the manifest; move it away"


def test_every_flipped_bit_of_the_footer_is_found(copy: Path) -> None:
    data = copy.read_bytes()
    begin = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    dice = random.Random(0)
    for _ in range(40):
        _flip(copy, data, dice.randrange(begin, len(data)), dice.randrange(8))
        assert validate(str(copy))


def test_names_that_are_no_text_any_more(copy: Path) -> None:
    data = copy.read_bytes()
    for name in ("pose_id", "keypoints", "source_uri"):
        _flip(copy, data, data.rindex(name.encode()), 7)
        assert validate(str(copy))


def test_values_that_are_no_text(copy: Path, built: Manifest) -> None:
    table = pq.read_table(copy)
    at = table.schema.get_field_index("prompt")
    odd = pa.array([b"\xff"] * len(table)).view(pa.string())
    _write(copy, table.set_column(at, "prompt", odd), built.footer)
    assert (0, "prompt") in [(problem.row, problem.column) for problem in validate(str(copy))]


def test_flipped_bits_are_found_or_change_nothing(copy: Path) -> None:
    data, whole = copy.read_bytes(), pq.read_table(copy)
    dice = random.Random(1)
    for _ in range(40):
        _flip(copy, data, dice.randrange(len(data)), dice.randrange(8))
        if not validate(str(copy)):
            assert pq.read_table(copy).equals(whole, check_metadata=True)


def _flip(path: Path, data: bytes, at: int, bit: int) -> None:
    path.write_bytes(data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :])


def test_a_damaged_page_is_named_by_its_column_and_the_rest_is_read(copy: Path) -> None:
    data = copy.read_bytes()
    group = pq.read_metadata(copy).row_group(0)
    columns = [group.column(at) for at in range(group.num_columns)]
    column = next(column for column in columns if column.path_in_schema == "image.bytes")
    begin = column.dictionary_page_offset or column.data_page_offset
    _flip(copy, data, begin + column.total_compressed_size // 2, 0)
    problems = validate(str(copy))
    assert [(problem.row, problem.column) for problem in problems] == [(0, "image")]
    assert "cannot be read, in one of the rows up to" in problems[0].message


def test_columns_and_rows_have_one_digest(built: Manifest) -> None:
    for change in (_set(0), _set(2, image=None, attempt=None, pose_score=float("nan"), prompt='"ä\\\n')):
        table = change(pq.read_table(built.path))
        by_row, by_column = RowsDigest(), RowsDigest()
        for row in table.to_pylist():
            by_row.add(row)
        for batch in table.slice(0).combine_chunks().to_batches():
            by_column.add_columns(canonical_columns(batch.slice(0, 3)))
            by_column.add_columns(canonical_columns(batch.slice(3)))
        assert by_row.value == by_column.value


def test_memory_does_not_grow_with_rows(tmp_path: Path) -> None:
    peaks = []
    sources = write_pictures(tmp_path / "in", 2)
    for count in (10, 60):
        path = tmp_path / f"{count}.parquet"
        build(sources, path, tmp_path / "work", recipe(subjects={"count": 10}, variations={"count": count}))
        validate(str(path))
        tracemalloc.start()
        assert validate(str(path)) == []
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.3


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads as Linux does")
def test_no_thread_of_arrow_s_can_outlive_a_validation(built: Manifest) -> None:
    code = """
import os, sys
import cv2
from pipeline.manifest.validate.manifest import validate
before = len(os.listdir("/proc/self/task"))
assert validate(sys.argv[1]) == []
print(len(os.listdir("/proc/self/task")) - before)
"""
    alone = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OPENCV_FOR_THREADS_NUM": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, built.path], env=alone, capture_output=True, text=True, check=True
    )
    assert done.stdout == "0\n"


def test_a_damaged_fragment_does_not_become_a_manifest(tmp_path: Path) -> None:
    done = build(write_pictures(tmp_path / "in", 2), tmp_path / "v1.parquet", tmp_path / "work")
    fragment = Path(next(f.path for f in done.fragments if f.stage == "variations"))
    table = pq.read_table(fragment)
    images = table.column("image").to_pylist()
    images[2] = images[2][:-20] + bytes([images[2][-20] ^ 1]) + images[2][-19:]
    table = table.set_column(table.schema.get_field_index("image"), "image", pa.array(images))
    pq.write_table(table, fragment, row_group_size=table.num_rows // 2)  # one a source
    ledger = Ledger(str(fragment.parents[1]))
    before = (tmp_path / "v1.parquet").read_bytes()
    with pytest.raises(DamagedFragment) as error:
        write_manifest(str(tmp_path / "v1.parquet"), ledger, done.fragments, Duplicates(), {})
    assert fragment.name in str(error.value)
    assert (tmp_path / "v1.parquet").read_bytes() == before
