"""Writes rows into one Parquet file, or into a folder of them when one would grow too large."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import store
from pipeline.config import UserError, manifest_stem
from pipeline.manifest.checksum import BLANK, stamp
from pipeline.manifest.digest import RowsDigest, canonical_columns
from pipeline.manifest.generations import newest, read_generation, sweep
from pipeline.manifest.places import next_generation, part_path
from pipeline.manifest.schema import FOOTER, PICTURES, ROW_GROUP, SCHEMA
from pipeline.manifest.staged import Staged

MAX_PART_ROWS = 10_000
"""What Parquet keeps in memory of a file until it is complete, and to read it, grows with its rows: .8 kB a row."""
_WITH_STATISTICS = [name for name in SCHEMA.names if name not in (*PICTURES, "keypoints")]
"""Nobody asks for the least picture, and pieces of pictures would make up most of the footer."""


class PartsWriter:
    """Takes rows one by one; memory stays at one row group and what Parquet knows of one part.

    Parts are finished out of sight and put in their places at the end, the last one last. It says of itself that it is
    the last, and what the whole holds. All carry the name of this writing, its *generation*, so a reader takes the old
    manifest until the last part is there and the new one from then on; what is left of the old one goes afterwards.
    Whether there will be a second part, and so what the first is called, is known only when all is written.
    """

    def __init__(self, path: str, footer: Mapping[str, Any], max_bytes: int) -> None:
        manifest_stem(path)
        here = None
        with suppress(UserError):
            here = newest(path)
        if here:
            sweep(path, here)  # what a killed writer left may fill the disk
        self.path, self.max_bytes = path, max_bytes
        self.generation = next_generation(path, here.name if here else "", footer)
        self.footer = {**footer, "generation": self.generation, "checksum": BLANK}
        self.paths: list[str] = []
        self.rows = 0
        self.digest = RowsDigest()
        self._staged: list[Staged] = []
        self._group: list[Mapping[str, Any]] = []
        self._open_part()

    @property
    def count(self) -> int:
        """Rows taken so far."""
        return self.rows + self._part_rows

    def add(self, row: Mapping[str, Any]) -> None:
        size = sum(len(row[name]["bytes"]) for name in PICTURES)
        if self._part_rows and (self._bytes + size > self.max_bytes or self._part_rows == MAX_PART_ROWS):
            self._close_part({})
            self._open_part()
        self._group.append(row)
        self._bytes += size
        self._part_rows += 1
        if len(self._group) == ROW_GROUP:
            self._flush()

    def close(self, more: Mapping[str, Any] | None = None) -> None:
        """Puts all in place; from the moment that the last part is there, this is the manifest.

        Args:
            more: Goes into the last part's footer.
        """
        count = len(self._staged)
        digest = RowsDigest(self.digest.value)
        digest.merge(self._flushed_digest())
        total = {"parts": count, "rows": self.count, "digest": digest.value}
        self._close_part({**(more or {}), "total": total})
        self.paths = [self.path] if count == 1 else [part_path(self.path, n, self.generation) for n in range(count)]
        for staged, place in zip(self._staged, self.paths, strict=True):
            staged.place(place)
        sweep(self.path, read_generation(self.paths))

    def abort(self) -> None:
        """Drops what was written."""
        with suppress(OSError, pa.ArrowException):
            self._writer.close()
        for staged in self._staged:
            staged.discard()

    def _open_part(self) -> None:
        self._staged.append(Staged(self.path))
        self._writer = pq.ParquetWriter(
            self._staged[-1].file,
            SCHEMA,
            compression="zstd",
            write_page_index=True,
            write_page_checksum=True,
            write_statistics=_WITH_STATISTICS,
        )
        self._bytes = self._part_rows = 0
        self._part_digest = RowsDigest()

    def _flush(self) -> None:
        if not self._group:
            return
        with store.naming(self.path):
            (batch,) = pa.Table.from_pylist(self._group, SCHEMA).combine_chunks().to_batches()
            self._part_digest.add_columns(canonical_columns(batch))
            self._writer.write_table(pa.Table.from_batches([batch]), row_group_size=ROW_GROUP)
            self._group = []

    def _flushed_digest(self) -> str:
        self._flush()
        return self._part_digest.value

    def _close_part(self, more: Mapping[str, Any]) -> None:
        digest = self._flushed_digest()
        self.rows += self._part_rows
        self.digest.merge(digest)
        number = len(self._staged) - 1
        said = {**self.footer, **more, "part": number, "rows": self._part_rows, "digest": digest}
        with store.naming(self.path):
            self._writer.add_key_value_metadata({FOOTER.decode(): json.dumps(said, sort_keys=True)})
            self._writer.close()
            stamp(self._staged[-1].file)
            self._staged[-1].finish()
