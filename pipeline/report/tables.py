"""Tables of a report: the manifest's light columns and its misses, as pandas frames and as what a browser reads."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipeline import store
from pipeline.arrow import open_parquet
from pipeline.config import UserError
from pipeline.manifest.read import Manifest
from pipeline.manifest.schema import REJECTED_SCHEMA

if TYPE_CHECKING:
    import pandas as pd

SCORES = ("pose_score", "mask_score", "mask_area", "clip_t_subject", "clip_t_background", "subject_kept")
FACTORS = ("source_id", "subject_id", "background_id")
LIGHT = (*FACTORS, "split", *SCORES, "attempt", "phash", "source_license")
"""Columns of the manifest that are kept in memory for all rows."""


def need_columns(manifest: Manifest, what: str) -> None:
    """Raises UserError where a manifest lacks columns that ``what`` is made from."""
    if missing := manifest.missing_columns:
        verb = "need" if what.endswith("s") else "needs"
        raise UserError(f"manifest {manifest.path}: lacks the columns {', '.join(missing)}; {what} {verb} them")


def missed_table(manifest: Manifest) -> pa.Table:
    """What did not get in, in the order of its list; no rows where there is no list."""
    if not store.exists(manifest.rejected_path):
        return REJECTED_SCHEMA.empty_table()
    with store.open_input(manifest.rejected_path) as file, open_parquet(file) as parquet:
        here = set(parquet.schema_arrow.names)
        table = parquet.read([name for name in REJECTED_SCHEMA.names if name in here], use_threads=False)
    for name in REJECTED_SCHEMA.names:
        if name not in here:
            table = table.append_column(name, pa.nulls(len(table), REJECTED_SCHEMA.field(name).type))
    return table.select(REJECTED_SCHEMA.names)


def light_frame(batches: list[pa.RecordBatch]) -> pd.DataFrame:
    """The light columns of all rows; texts as categories."""
    table = pa.Table.from_batches(batches)
    texts = [field.name for field in table.schema if pa.types.is_string(field.type) and field.name != "phash"]
    frame: pd.DataFrame = table.to_pandas(categories=texts)
    return frame.reindex(columns=list(LIGHT))


def for_browser(frame: pd.DataFrame) -> dict[str, Any]:
    """A frame by columns, numbers as base64 of their little-endian bytes: small, and exact to the last bit.

    Returns:
        ``n`` and ``columns``: texts as ``{values, codes}`` (code -1: none), floats as ``{f4}`` (none: NaN), integers as
        ``{i4}``.
    """
    import pandas as pd

    columns: dict[str, Any] = {}
    for name, column in frame.items():
        if pd.api.types.is_float_dtype(column):
            columns[str(name)] = {"f4": _base64(column.to_numpy("<f4"))}
        elif pd.api.types.is_integer_dtype(column):
            columns[str(name)] = {"i4": _base64(column.to_numpy("<i4"))}
        else:
            codes, values = pd.factorize(column, sort=True)
            columns[str(name)] = {"values": [str(value) for value in values], "codes": _base64(codes.astype("<i4"))}
    return {"n": len(frame), "columns": columns}


def _base64(numbers: Any) -> str:
    return base64.b64encode(numbers.tobytes()).decode()
