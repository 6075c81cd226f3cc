"""Columns of a manifest, and its list of misses, as pandas tables: what statistics, comparisons and cards read.

Ids and prompts repeat, so that they are kept as categories: a row takes some dozen bytes, pictures none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipeline import store
from pipeline.arrow import open_parquet
from pipeline.manifest.read import Manifest
from pipeline.manifest.schema import REJECTED_SCHEMA, SCHEMA
from pipeline.manifest.validate.rules import LIMITS

if TYPE_CHECKING:
    import pandas as pd

SCORES = tuple(LIMITS)


def frame(manifest: Manifest, columns: Sequence[str]) -> pd.DataFrame:
    """Some columns of all rows, in order; those that the manifest lacks are empty."""
    here = [name for name in columns if name in manifest.columns]
    batches = list(manifest.batches(here))
    table = (
        pa.Table.from_batches(batches) if batches else pa.schema([SCHEMA.field(name) for name in here]).empty_table()
    )
    found = _pandas(table)
    for name in columns:
        if name not in found.columns:
            found[name] = None
    return found[list(columns)]


def misses(manifest: Manifest) -> pd.DataFrame:
    """The list of what did not get in; empty where there is none."""
    table = REJECTED_SCHEMA.empty_table()
    if store.exists(manifest.rejected_path):
        with store.open_input(manifest.rejected_path) as file, open_parquet(file) as parquet:
            read = parquet.read(use_threads=False)
        if set(REJECTED_SCHEMA.names) <= set(read.schema.names):
            table = read.select(REJECTED_SCHEMA.names)
    return _pandas(table)


def _pandas(table: pa.Table) -> pd.DataFrame:
    text = [field.name for field in table.schema if pa.types.is_string(field.type)]
    columns: dict[str, Any] = {
        name: table.column(name).dictionary_encode() if name in text else table.column(name)
        for name in table.schema.names
    }
    return pa.table(columns).to_pandas(use_threads=False)
