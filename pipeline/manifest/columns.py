"""Rows that another program wrote, in the types that ours have."""

from __future__ import annotations

import pyarrow as pa

from pipeline.manifest.schema import SCHEMA


def as_written(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with its columns in the types of :data:`SCHEMA`, as far as their values fit into these."""
    arrays = []
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        due = SCHEMA.field(name).type
        try:
            arrays.append(column if column.type == due else column.cast(due))
        except pa.ArrowException:
            arrays.append(column)
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)
