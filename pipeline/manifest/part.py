"""Writes one part of a manifest: a Parquet file that says of itself what it holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import store
from pipeline.manifest.checksum import stamp
from pipeline.manifest.digest import RowsDigest, canonical_columns
from pipeline.manifest.schema import FOOTER, PICTURES, ROW_GROUP, SCHEMA
from pipeline.manifest.staged import Staged

_WITH_STATISTICS = [name for name in SCHEMA.names if name not in (*PICTURES, "keypoints")]
"""Nobody asks for the least picture, and pieces of pictures would make up most of the footer."""


class PartWriter:
    """Takes rows one by one; memory stays at one row group and what Parquet knows of the part.

    Attributes:
        rows, bytes: Taken so far; bytes of their pictures.
    """

    def __init__(self, manifest: str) -> None:
        """Opens a file out of sight, beside the manifest."""
        self.manifest = manifest
        self.rows = self.bytes = 0
        self._digest = RowsDigest()
        self._group: list[Mapping[str, Any]] = []
        self._staged = Staged(manifest)
        self._writer = pq.ParquetWriter(
            self._staged.file,
            SCHEMA,
            compression="zstd",
            write_page_index=True,
            write_page_checksum=True,
            write_statistics=_WITH_STATISTICS,
        )

    @property
    def digest(self) -> str:
        """Of the rows taken so far."""
        self._flush()
        return self._digest.value

    def add(self, row: Mapping[str, Any]) -> None:
        self._group.append(row)
        self.rows += 1
        self.bytes += picture_bytes(row)
        if len(self._group) == ROW_GROUP:
            self._flush()

    def close(self, footer: Mapping[str, Any]) -> None:
        """Completes the file; from here on it can only be placed.

        Args:
            footer: What it says of itself beside ``rows`` and ``digest``.
        """
        said = {**footer, "rows": self.rows, "digest": self.digest}
        with store.naming(self.manifest):
            self._writer.add_key_value_metadata({FOOTER.decode(): json.dumps(said, sort_keys=True)})
            self._writer.close()
            del self._writer  # it knows all of its row groups, and a manifest has many parts
            stamp(self._staged.file)
            self._staged.finish()

    def place(self, path: str) -> None:
        self._staged.place(path)

    def abort(self) -> None:
        """Drops what was written."""
        with suppress(OSError, pa.ArrowException, AttributeError):  # none: it is closed
            self._writer.close()
        self._staged.discard()

    def _flush(self) -> None:
        if not self._group:
            return
        with store.naming(self.manifest):
            (batch,) = pa.Table.from_pylist(self._group, SCHEMA).combine_chunks().to_batches()
            self._digest.add_columns(canonical_columns(batch))
            self._writer.write_table(pa.Table.from_batches([batch]), row_group_size=ROW_GROUP)
            self._group = []


def picture_bytes(row: Mapping[str, Any]) -> int:
    """Of a row's pictures."""
    return sum(len(row[name]["bytes"]) for name in PICTURES)
