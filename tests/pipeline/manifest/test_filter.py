"""Filtered manifests: sound, provable, and they say what they were made from."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from toy_stages import build, recipe, write_pictures

from pipeline.config import UserError
from pipeline.manifest.filter import Choice, filter_manifest
from pipeline.manifest.read import Manifest
from pipeline.manifest.validate.manifest import validate
from spotdiff_model.data.rows import read_rows


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = tmp_path_factory.mktemp("built")
    stages = recipe(subjects={"count": 2, "rejects": 4}, variations={"count": 3})
    build(write_pictures(folder / "in", 12), folder / "v1.parquet", folder / "work", stages, max_part_bytes=30_000)
    return Manifest(str(folder / "v1.parquet"))


def _rows(manifest: Manifest) -> list[dict[str, Any]]:
    return [row for batch in manifest.batches() for row in batch.to_pylist()]


def test_the_rows_that_fit(built: Manifest, tmp_path: Path) -> None:
    condition = "background_id in ('train-b0', 'test-b0') and pose_score > .8"
    made = filter_manifest(built.path, str(tmp_path / "f.parquet"), Choice(where=condition))
    due = [row for row in _rows(built) if row["background_id"] in ("train-b0", "test-b0")]
    assert _rows(made) == due
    assert 0 < made.rows < built.rows
    assert validate(made.path) == []
    assert made.digest != built.digest
    assert made.footer["profile"] == built.footer["profile"]
    filtered = made.footer["filtered"]
    assert (filtered["parent"], filtered["parent_rows"]) == (built.digest, built.rows)
    assert filtered["where"] == condition
    assert pq.read_table(made.rejected_path).equals(pq.read_table(built.rejected_path))
    assert len(read_rows(made.path)) == made.rows


def test_a_split(built: Manifest, tmp_path: Path) -> None:
    made = filter_manifest(built.path, str(tmp_path / "f.parquet"), Choice(split="train", where="attempt = 0"))
    assert {row["split"] for row in _rows(made)} == {"train"}
    assert validate(made.path) == []


def test_a_sample_depends_on_its_seed_alone(built: Manifest, tmp_path: Path) -> None:
    drawn = [
        {row["variation_id"] for row in _rows(filter_manifest(built.path, str(tmp_path / f"{n}.parquet"), choice))}
        for n, choice in enumerate([Choice(sample=9), Choice(sample=9), Choice(sample=9, seed=1), Choice(sample=20)])
    ]
    assert [len(names) for names in drawn] == [9, 9, 9, 20]
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn[0] < drawn[3]


def _foreign(built: Manifest, folder: Path) -> str:
    """As pandas or polars leave a manifest: no footer, wider types."""
    table = pa.concat_tables(pq.read_table(path) for path in built.paths).replace_schema_metadata(None)
    table = table.filter(pc.field("background_id") != "train-b1")
    wide = table.column("pose_score").cast(pa.float64())
    table = table.set_column(table.schema.get_field_index("pose_score"), "pose_score", wide)
    pq.write_table(table.append_column("mine", pa.array(range(table.num_rows))), folder / "theirs.parquet")
    return str(folder / "theirs.parquet")


def test_what_another_program_filtered(built: Manifest, tmp_path: Path) -> None:
    path = _foreign(built, tmp_path)
    with pytest.raises(UserError, match=r"spotdiff filter .*theirs\.parquet --out F"):
        read_rows(path)
    found = {(problem.column, problem.message) for problem in validate(path)}
    assert ("pose_score", "is double, not float") in found
    assert ("mine", "is no column of a manifest") in found
    assert all("spotdiff filter" in str(problem) for problem in validate(path))
    alone = filter_manifest(path, str(tmp_path / "alone.parquet"), Choice())
    assert "profile" not in alone.footer
    assert validate(alone.path) == []
    assert len(read_rows(alone.path)) == alone.rows
    child = filter_manifest(path, str(tmp_path / "child.parquet"), Choice(), parent=built.path)
    assert child.footer["profile"] == built.footer["profile"]
    assert child.footer["filtered"]["parent"] == built.digest
    assert child.digest == alone.digest
    assert validate(child.path) == []


def test_what_cannot_be_filtered(built: Manifest, tmp_path: Path) -> None:
    table = pq.read_table(built.paths[0])
    pq.write_table(table.drop_columns(["mask"]), tmp_path / "less.parquet")
    pq.write_table(table.take(list(reversed(range(table.num_rows)))), tmp_path / "turned.parquet")
    out = str(tmp_path / "f.parquet")
    with pytest.raises(UserError, match="lacks the columns mask; keep them"):
        filter_manifest(str(tmp_path / "less.parquet"), out, Choice())
    with pytest.raises(UserError, match="twice or out of order; sort the rows by source_id, subject_id, background_id"):
        filter_manifest(str(tmp_path / "turned.parquet"), out, Choice())
    with pytest.raises(UserError, match=r"none of its \d+ rows fits"):
        filter_manifest(built.path, out, Choice(where="pose_score > 2"))
    with pytest.raises(UserError, match="is the manifest itself"):
        filter_manifest(built.path, built.path, Choice())
    assert {file.name for file in tmp_path.iterdir()} == {"less.parquet", "turned.parquet"}


def test_a_damaged_list_of_misses_is_told(built: Manifest, tmp_path: Path) -> None:
    shutil.copytree(Path(built.path).parent, tmp_path / "copy")
    copied = Manifest(str(tmp_path / "copy" / "v1.parquet"))
    Path(copied.rejected_path).write_bytes(b"text")
    with pytest.raises(UserError, match="the list of what did not get in cannot be read"):
        filter_manifest(copied.path, str(tmp_path / "f.parquet"), Choice())
    assert not (tmp_path / "f.parquet").exists()
