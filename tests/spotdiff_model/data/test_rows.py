"""Reading manifests for training: what is wrong with one is said in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rendered import write_rendered

from pipeline.config import UserError
from spotdiff_model.data.rows import check_trainable, read_rows


def test_rows_and_their_pictures(rendered: Path) -> None:
    rows = read_rows(str(rendered)).of_split("train")
    assert len(rows) == 96
    assert rows.keypoints.shape == (96, 18, 3)
    check_trainable(rows)
    pictures = dict(rows.images([95, 0, 7]))
    assert set(pictures) == {0, 7, 95}
    assert pictures[7].size == (64, 64)


def test_no_rows_of_a_split(rendered: Path) -> None:
    with pytest.raises(UserError, match="no rows with split == 'dev'"):
        read_rows(str(rendered)).of_split("dev")


def _rewritten(rendered: Path, path: Path, change: Any) -> str:
    table = pq.read_table(rendered)
    pq.write_table(change(table).replace_schema_metadata(pq.read_metadata(rendered).metadata), path)
    return str(path)


def test_missing_columns_are_named(rendered: Path, tmp_path: Path) -> None:
    path = _rewritten(rendered, tmp_path / "v1.parquet", lambda t: t.drop_columns(["subject_id", "image"]))
    with pytest.raises(UserError, match="lacks the columns subject_id, image"):
        read_rows(path)


def _set(table: pa.Table, name: str, values: list[Any]) -> pa.Table:
    place = table.schema.get_field_index(name)
    return table.set_column(place, table.schema.field(name), pa.array(values, table.schema.field(name).type))


def test_a_changed_row_does_not_fit_the_digest(rendered: Path, tmp_path: Path) -> None:
    def change(table: pa.Table) -> pa.Table:
        return _set(table, "subject_id", ["other", *table["subject_id"].to_pylist()[1:]])

    with pytest.raises(UserError, match="do not fit the digest"):
        read_rows(_rewritten(rendered, tmp_path / "v1.parquet", change))


def test_a_changed_picture_does_not_fit_its_checksum(rendered: Path, tmp_path: Path) -> None:
    def change(table: pa.Table) -> pa.Table:
        pictures = table["image"].to_pylist()
        return _set(table, "image", [pictures[1], *pictures[1:]])

    path = _rewritten(rendered, tmp_path / "v1.parquet", change)
    with pytest.raises(UserError, match="do not fit the digest"):
        read_rows(path)
    rows = read_rows(path, check=False)
    assert [place for place, _ in rows.images([1])] == [1]
    with pytest.raises(UserError, match="row 0: sha256 is not that of the image"):
        list(rows.images([0]))


def test_what_cannot_be_trained_on(rendered: Path, tmp_path: Path) -> None:
    rows = read_rows(str(rendered)).of_split("train")
    with pytest.raises(UserError, match="one subject only"):
        check_trainable(rows.select(rows.subject_id == rows.subject_id[0]))
    path = write_rendered(tmp_path / "v1.parquet", train=2, validation=0, test=0, subjects=2, backgrounds=1)
    alone = read_rows(str(path))
    _, first = np.unique(alone.subject_id, return_index=True)
    with pytest.raises(UserError, match="no subject stands before two backgrounds"):
        check_trainable(alone.select(first))
