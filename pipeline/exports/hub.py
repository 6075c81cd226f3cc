"""The hub's layout: ``data/train-00000-of-00003.parquet`` with pictures, ``metadata/…`` without them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.exports.croissant import PARQUET, Described, file_set, parquet_records
from pipeline.exports.destination import Unit
from pipeline.exports.export import Piece
from pipeline.exports.rows import SplitRows, chunks, columns_of
from pipeline.manifest.schema import PICTURES, ROW_GROUP, SCHEMA

SHARD_BYTES = 400 * 1000 * 1000
"""The hub suggests files below 500 MB."""
GROUP_BYTES = 100 * 1000 * 1000
"""The hub's viewer reads a row group as a whole, and refuses beyond some 300 MB."""
_METADATA_GROUP = 5000


class Hub:
    """Parquet in shards of one split each."""

    def __init__(self, rows: SplitRows) -> None:
        self.rows = rows
        self.per_shard = max(1, int(SHARD_BYTES / max(rows.row_bytes(), 1)))
        self.light = columns_of(rows.manifest, PICTURES)

    @property
    def sentence(self) -> str:
        return "`data/` holds all columns, `metadata/` the same rows without pictures; both are Parquet."

    def described(self, files: Sequence[str]) -> Described:
        sets = [file_set(f"{name}-files", f"{name}/*.parquet", PARQUET) for name in ("data", "metadata")]
        every = columns_of(self.rows.manifest)
        return Described(
            sets,
            [
                parquet_records("variations", "set:data-files", every),
                parquet_records("metadata", "set:metadata-files", self.light),
            ],
        )

    @property
    def configs(self) -> list[dict[str, object]]:
        def files(folder: str) -> list[dict[str, str]]:
            return [{"split": split, "path": f"{folder}/{split}-*.parquet"} for split in self.rows.counts]

        return [
            {"config_name": "default", "data_files": files("data"), "default": True},
            {"config_name": "metadata", "data_files": files("metadata")},
        ]

    def pieces(self) -> Iterable[Piece]:
        every = columns_of(self.rows.manifest)
        for split, number, of, first, stop in chunks(self.rows.counts, self.per_shard):
            path = f"data/{split}-{number:05d}-of-{of:05d}.parquet"
            yield Piece(path, stop - first, partial(self._write, path, split, first, stop, every, ROW_GROUP))
        for split, rows in self.rows.counts.items():
            path = f"metadata/{split}-00000-of-00001.parquet"
            yield Piece(path, rows, partial(self._write, path, split, 0, rows, self.light, _METADATA_GROUP))

    def _write(
        self, path: str, split: str, first: int, stop: int, columns: Sequence[str], group: int, unit: Unit
    ) -> None:
        with unit.open(path) as file:
            batches = self.rows.read(split, first, stop, columns)
            write_parquet(file, batches, columns, group)


def write_parquet(file: Any, batches: Iterable[pa.RecordBatch], columns: Sequence[str], group: int) -> None:
    """Batches as Parquet with row groups of at most so many rows and :data:`GROUP_BYTES`, and a page index."""
    writer: pq.ParquetWriter | None = None
    waiting: list[pa.RecordBatch] = []

    def flush() -> None:
        if writer and waiting:
            table = pa.Table.from_batches(waiting)
            writer.write_table(table.combine_chunks(), row_group_size=table.num_rows)
            waiting.clear()

    for batch in batches:
        schema = told(batch.schema)
        if writer is None:
            writer = pq.ParquetWriter(
                file, schema, compression="zstd", write_page_index=True, write_page_checksum=True,
                use_content_defined_chunking=True,
            )  # fmt: skip
        for at in range(0, batch.num_rows, group):
            part = batch.slice(at, group).replace_schema_metadata(schema.metadata).select(columns)
            for piece in _of_size(part):
                rows = piece.num_rows + sum(one.num_rows for one in waiting)
                if rows > group or piece.nbytes + sum(one.nbytes for one in waiting) > GROUP_BYTES:
                    flush()
                waiting.append(piece)
    flush()
    assert writer is not None, "a piece has rows"
    writer.close()


def _of_size(batch: pa.RecordBatch) -> Iterable[pa.RecordBatch]:
    """The batch in halves until each is small enough."""
    if batch.nbytes <= GROUP_BYTES or batch.num_rows == 1:
        yield batch
        return
    half = batch.num_rows // 2
    yield from _of_size(batch.slice(0, half))
    yield from _of_size(batch.slice(half))


def told(schema: pa.Schema) -> pa.Schema:
    """The schema with what ``datasets`` must know of these columns: which are pictures, and nothing of ours."""
    features = json.loads(SCHEMA.metadata[b"huggingface"])["info"]["features"]
    here = {name: features[name] for name in schema.names if name in features}
    whole = len(here) == len(schema.names)
    return schema.with_metadata({"huggingface": json.dumps({"info": {"features": here}})} if whole else None)
