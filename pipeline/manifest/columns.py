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


def gaps(batch: pa.RecordBatch) -> bool:
    """Whether a number is missing inside keypoints."""
    points = batch.column("keypoints").flatten()
    return bool(points.null_count or points.flatten().null_count)


def exact(batch: pa.RecordBatch) -> bool:
    """Whether the batch is all that our writer writes, in its types: then the rows' digest can be told."""
    names = batch.schema.names
    types = all(name in SCHEMA.names and batch.schema.field(name).type == SCHEMA.field(name).type for name in names)
    return len(names) == len(SCHEMA.names) and types and not gaps(batch)
