"""Validation: each kind of fault is found, and named by row and column."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from toy_stages import build, recipe, write_pictures

from pipeline import ids
from pipeline.imaging.png import to_png
from pipeline.manifest.checksum import BLANK, stamp
from pipeline.manifest.read import Manifest
from pipeline.manifest.schema import FOOTER, SCHEMA
from pipeline.manifest.validate.manifest import validate

Row = dict[str, Any]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = tmp_path_factory.mktemp("built")
    sources = write_pictures(folder / "in", 30)  # enough for all three splits
    build(sources, folder / "v1.parquet", folder / "work", recipe(subjects={"count": 2}, variations={"count": 2}))
    return Manifest(str(folder / "v1.parquet"))


def _write(path: Path, built: Manifest, rows: list[Row], footer: Row | None = None) -> str:
    said = {**built.footer, **(footer or {})}
    metadata = {**(SCHEMA.metadata or {}), FOOTER: json.dumps(said).encode()}
    return _save(path, built, pa.Table.from_pylist(rows, SCHEMA.with_metadata(metadata)))


def _save(path: Path, built: Manifest, table: pa.Table) -> str:
    """Writes a table as a manifest, with the list of misses that the footer names and a checksum that fits."""
    said = json.loads(table.schema.metadata[FOOTER])
    blank = json.dumps({**said, "checksum": BLANK}).encode()
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, FOOTER: blank}), path)
    with open(path, "r+b") as file:
        stamp(file)
    misses = Path(Manifest(str(path)).rejected_path)
    misses.parent.mkdir(exist_ok=True)
    misses.write_bytes(Path(built.rejected_path).read_bytes())
    return str(path)


def _table(built: Manifest) -> pa.Table:
    table = pq.read_table(built.path)
    return table.replace_schema_metadata({FOOTER: json.dumps(built.footer).encode()})


def _rows(built: Manifest) -> list[Row]:
    return [row for batch in built.batches() for row in batch.to_pylist()]


def _picture(data: bytes) -> Row:
    return {"bytes": data, "path": "x.png"}


def _jpeg(size: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (size, size)).save(buffer, "JPEG")
    return buffer.getvalue()


def _keypoint(row: Row, joint: int, value: list[float] | None) -> Row:
    return {"keypoints": [value if number == joint else point for number, point in enumerate(row["keypoints"])]}


GREY = to_png(Image.fromarray(np.full((16, 16), 128, np.uint8)))
FAULTS: dict[str, tuple[Callable[[Row], Row], str, str]] = {
    "variation_id": (lambda row: {"variation_id": "0" * 16}, "variation_id", "is not that of its source, subject"),
    "source_id": (lambda row: {"source_id": "photo 1"}, "source_id", "is not 16 hex digits: 'photo 1'"),
    "pose_id": (lambda row: {"pose_id": "0" * 16}, "pose_id", "is not that of its source and keypoints"),
    "split name": (lambda row: {"split": "dev"}, "split", "none of train, validation, test: 'dev'"),
    "sha256": (lambda row: {"sha256": "0" * 64}, "sha256", "is not that of the image"),
    "phash": (lambda row: {"phash": f"{int(row['phash'], 16) ^ 1:016x}"}, "phash", "is not that of the image"),
    "phash form": (lambda row: {"source_phash": "none"}, "source_phash", "is not 16 hex digits"),
    "image bytes": (lambda row: {"image": _picture(row["image"]["bytes"][:-30])}, "image", "cannot be decoded"),
    "image size": (lambda row: {"image": _picture(_jpeg(8))}, "image", "is 8x8, not 16x16 as width and height say"),
    "no image": (lambda row: {"image": _picture(b"")}, "image", "has no bytes"),
    "null image": (lambda row: {"image": None}, "image", "is empty"),
    "text for a picture": (lambda row: {"control": _picture(b"<svg/>")}, "control", "cannot be decoded"),
    "mask mode": (lambda row: {"mask": _picture(_jpeg(16))}, "mask", "has mode RGB, not L or 1"),
    "mask values": (lambda row: {"mask": _picture(GREY)}, "mask", "other values than 0 and 255"),
    "width": (lambda row: {"width": 17}, "image", "is 16x16, not 17x16"),
    "keypoints null": (lambda row: {"keypoints": None}, "keypoints", "is empty"),
    "keypoint outside": (lambda row: _keypoint(row, 3, [1.5, 0.5, 1]), "keypoints", "joint 3: .* is not in 0..1"),
    "keypoint sure": (lambda row: _keypoint(row, 4, [0.5, 0.5, 2]), "keypoints", "joint 4: confidence 2.0"),
    "keypoint missing": (lambda row: _keypoint(row, 5, [0.5, 0.5, 0]), "keypoints", "joint 5: is missing"),
    "keypoint nan": (lambda row: _keypoint(row, 6, [float("nan"), 0, 1]), "keypoints", "joint 6"),
    "keypoint null": (lambda row: _keypoint(row, 2, None), "keypoints", "are not 18 of 3 numbers"),
    "prompt": (lambda row: {"prompt": " "}, "prompt", "is empty"),
    "score": (lambda row: {"pose_score": 1.2}, "pose_score", r"1\.2\d* is not in 0..1"),
    "score nan": (lambda row: {"clip_t_subject": float("nan")}, "clip_t_subject", "nan is not in -1..1"),
    "seed": (lambda row: {"subject_seed": -1}, "subject_seed", "-1 is negative"),
    "null id": (lambda row: {"subject_id": None}, "subject_id", "is empty"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_one_row(built: Manifest, tmp_path: Path, fault: str) -> None:
    change, column, message = FAULTS[fault]
    rows = _rows(built)
    rows[7] = {**rows[7], **change(rows[7])}
    problems = validate(_write(tmp_path / "v1.parquet", built, rows))
    found = [problem for problem in problems if problem.row == 7 and problem.column == column]
    assert found, [str(problem) for problem in problems]
    assert re.search(message, " / ".join(problem.message for problem in found))
    assert fault == "keypoint null" or any(p.message.startswith("digest of the rows") for p in problems)
    assert str(found[0]).startswith(f"row 7, column {column}: ")
    assert {problem.row for problem in problems} <= {7, 8, None}, "blames other rows"


def test_a_row_twice(built: Manifest, tmp_path: Path) -> None:
    rows = _rows(built)
    problems = validate(_write(tmp_path / "v1.parquet", built, [*rows, rows[0]]))
    assert [(p.row, p.column) for p in problems if p.row is not None] == [(len(rows), "variation_id")]
    assert any("rows, the footer says" in p.message for p in problems)


def test_a_lost_row_is_missed(built: Manifest, tmp_path: Path) -> None:
    rows = _rows(built)
    problems = validate(_write(tmp_path / "v1.parquet", built, rows[1:]))
    assert any(
        p.column == "source_id" and f"source {rows[0]['source_id']}: 3 variations and 0 rejected" in p.message
        for p in problems
    )


def test_more_of_a_factor_than_asked(built: Manifest, tmp_path: Path) -> None:
    config = {**built.footer["config"], "subjects": 1}
    problems = validate(_write(tmp_path / "v1.parquet", built, _rows(built), {"config": config}))
    assert len(problems) == 30
    assert all(p.column == "subject_id" and "has 2 of them, 1 were asked for" in p.message for p in problems)


def _split_of(rows: list[Row], split: str) -> Row:
    return next(row for row in rows if row["split"] == split)


@pytest.mark.parametrize(
    ("factor", "prompt"), [("subject_id", "subject_prompt"), ("background_id", "background_prompt")]
)
def test_a_factor_that_crosses_splits(built: Manifest, tmp_path: Path, factor: str, prompt: str) -> None:
    rows = _rows(built)
    train, test = _split_of(rows, "train"), _split_of(rows, "test")
    number = rows.index(test)
    moved = {**test, factor: train[factor], prompt: train[prompt]}
    moved["variation_id"] = ids.variation_id(moved["source_id"], moved["subject_id"], moved["background_id"])
    rows[number] = moved
    problems = validate(_write(tmp_path / "v1.parquet", built, rows))
    assert any(p.column == "split" and f"{factor} {train[factor]} crosses splits" in p.message for p in problems)


def test_a_source_in_the_wrong_split(built: Manifest, tmp_path: Path) -> None:
    rows = _rows(built)
    source = _split_of(rows, "test")["source_id"]
    first = next(number for number, row in enumerate(rows) if row["source_id"] == source)
    rows[first] = {**rows[first], "split": "train"}
    problems = [p for p in validate(_write(tmp_path / "v1.parquet", built, rows)) if p.column == "split"]
    assert any(p.row == first and "the source and the run's seed say test" in p.message for p in problems)
    assert any(f"source_id {source} crosses splits" in p.message for p in problems)


@pytest.mark.parametrize(("bits", "found"), [(0, True), (4, True), (5, False)])
def test_near_duplicate_sources_in_two_splits(built: Manifest, tmp_path: Path, bits: int, found: bool) -> None:
    rows = _rows(built)
    train, test = _split_of(rows, "train"), _split_of(rows, "test")
    code = f"{int(train['source_phash'], 16) ^ ((1 << bits) - 1):016x}"
    rows = [{**row, "source_phash": code} if row["source_id"] == test["source_id"] else row for row in rows]
    problems = [p.message for p in validate(_write(tmp_path / "v1.parquet", built, rows)) if p.column == "source_phash"]
    assert len(problems) == found
    if found:
        assert test["source_id"] in problems[0]
        assert train["source_id"] in problems[0]


def test_what_a_source_determines(built: Manifest, tmp_path: Path) -> None:
    rows = _rows(built)
    rows[1] = {**rows[1], "source_license": "other"}
    problems = validate(_write(tmp_path / "v1.parquet", built, rows))
    assert any(p.row == 1 and p.column == "source_license" and "differs" in p.message for p in problems)


def test_a_fault_of_all_rows_is_not_listed_for_all(built: Manifest, tmp_path: Path) -> None:
    rows = [{**row, "sha256": "0" * 64} for row in _rows(built)]
    problems = [p for p in validate(_write(tmp_path / "v1.parquet", built, rows)) if p.column == "sha256"]
    assert len(problems) == 21
    assert problems[-1].message == f"is not that of the image: {len(rows) - 20} more rows"


@pytest.mark.parametrize("column", SCHEMA.names)
def test_a_missing_column_is_a_problem_not_a_crash(built: Manifest, tmp_path: Path, column: str) -> None:
    table = _table(built).drop_columns([column])
    problems = validate(_save(tmp_path / "v1.parquet", built, table))
    assert [(p.row, p.column, p.message) for p in problems] == [(None, column, "is missing")]


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("image", pa.array([b"png"])),
        ("image", pa.array([{"bytes": "text", "path": "x"}])),
        ("keypoints", pa.array(["[[0, 0, 0]]"])),
        ("width", pa.array(["16"])),
        ("sha256", pa.array([7])),
    ],
)
def test_a_column_of_another_type(built: Manifest, tmp_path: Path, column: str, values: pa.Array) -> None:
    table = _table(built)
    place = table.schema.get_field_index(column)
    table = table.set_column(place, column, pa.concat_arrays([values] * table.num_rows))
    problems = validate(_save(tmp_path / "v1.parquet", built, table))
    assert [(p.row, p.column) for p in problems] == [(None, column)]
    assert problems[0].message.startswith(f"is {values.type}, not ")


def test_a_manifest_written_by_another_program(built: Manifest, tmp_path: Path) -> None:
    """Wider types and no footer: readable all the same, and said to lack its footer."""
    frame = pq.read_table(built.path).to_pandas()
    frame.to_parquet(tmp_path / "v1.parquet")
    (problem,) = validate(str(tmp_path / "v1.parquet"))
    assert problem.message == "the Parquet footer does not say how it was made (no 'spotdiff' metadata)"
    assert "spotdiff filter" in str(problem)


def test_keypoints_of_another_shape(built: Manifest, tmp_path: Path) -> None:
    table = _table(built)
    points = pa.array([[[0.5, 0.5, 1.0]] * 17] * table.num_rows)
    table = table.set_column(table.schema.get_field_index("keypoints"), "keypoints", points)
    problems = validate(_save(tmp_path / "v1.parquet", built, table))
    assert {(p.column, p.message) for p in problems if p.row is not None} == {("keypoints", "are not 18 of 3 numbers")}


@pytest.mark.parametrize("content", [b"", b"text", b"PAR1" + b"\0" * 50 + b"PAR1"])
def test_files_that_are_no_parquet(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "v1.parquet").write_bytes(content)
    (problem,) = validate(str(tmp_path / "v1.parquet"))
    assert "not a readable Parquet file" in problem.message


def test_damaged_pages(built: Manifest, tmp_path: Path) -> None:
    data = bytearray(Path(built.path).read_bytes())
    data[5000:9000] = b"\xff" * 4000
    (tmp_path / "v1.parquet").write_bytes(data)
    assert validate(str(tmp_path / "v1.parquet"))


def test_no_rows(built: Manifest, tmp_path: Path) -> None:
    messages = [problem.message for problem in validate(_write(tmp_path / "v1.parquet", built, []))]
    assert "there are no rows" in messages


@pytest.mark.parametrize(
    "footer",
    [
        {"config": "text", "profile": 7},
        {"config": {"seed": "zero", "subjects": None}, "profile": {"splits": {"test": "all"}, "sources": []}},
        {"config": {}, "profile": {}},
    ],
)
def test_a_footer_of_strange_content(built: Manifest, tmp_path: Path, footer: Row) -> None:
    assert validate(_write(tmp_path / "v1.parquet", built, _rows(built), footer)) == []


@pytest.mark.parametrize("content", [b"text", None])
def test_a_broken_list_of_misses(built: Manifest, tmp_path: Path, content: bytes | None) -> None:
    manifest = _write(tmp_path / "v1.parquet", built, _rows(built))
    path = Path(Manifest(manifest).rejected_path)
    if content is None:
        pq.write_table(pa.table({"kind": ["source"]}), path)
    else:
        path.write_bytes(content)
    (problem,) = validate(manifest)
    assert f"{path}: " in problem.message
