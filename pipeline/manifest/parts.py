"""Writes rows into one Parquet file, or into a folder of them when one would grow too large."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import store
from pipeline.config import manifest_stem
from pipeline.manifest.digest import RowsDigest
from pipeline.manifest.schema import FOOTER, PICTURES, ROW_GROUP, SCHEMA

SUFFIX = ".parquet"


def part_path(path: str, number: int) -> str:
    return f"{manifest_stem(path)}/part-{number:05d}{SUFFIX}"


def rejected_path(path: str) -> str:
    """Where the list of what did not get in stands: ``v1.rejected.parquet`` beside ``v1.parquet``."""
    return f"{manifest_stem(path)}.rejected{SUFFIX}"


class PartsWriter:
    """Takes rows one by one; memory stays at one row group.

    Each part is finished in an unnamed temporary file and then put in its place, so that nothing half-written is ever
    seen under a manifest's name. Whether there will be a second part, and so what the first is called, is known only
    then. The last part says of itself that it is the last, and what the whole holds: a folder without it is incomplete.
    """

    def __init__(self, path: str, footer: Mapping[str, Any], max_bytes: int) -> None:
        self.path, self.footer, self.max_bytes = path, dict(footer), max_bytes
        self.paths: list[str] = []
        self.rows = 0
        self.digest = RowsDigest()
        self._group: list[Mapping[str, Any]] = []
        self._open_part()

    def add(self, row: Mapping[str, Any]) -> None:
        size = sum(len(row[name]["bytes"]) for name in PICTURES)
        if self._bytes and self._bytes + size > self.max_bytes:
            self._close_part(last=False)
            self._open_part()
        self._group.append(row)
        self._bytes += size
        self._part_rows += 1
        self._part_digest.add(row)
        if len(self._group) == ROW_GROUP:
            self._flush()

    def close(self) -> None:
        """Puts the last part in its place and removes what an earlier manifest of this name has left over."""
        self._close_part(last=True)
        folder = manifest_stem(self.path)
        for other in [self.path, *store.list_files(folder, SUFFIX)]:
            if other not in self.paths:
                store.remove(other)
        store.remove_empty_folder(folder)

    def abort(self) -> None:
        """Drops the part at hand."""
        with suppress(OSError, pa.ArrowException):
            self._writer.close()
        self._spool.close()

    def _open_part(self) -> None:
        self._spool: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (lives as long as the part)
        self._writer = pq.ParquetWriter(self._spool, SCHEMA, compression="zstd", write_page_index=True)
        self._bytes = self._part_rows = 0
        self._part_digest = RowsDigest()

    def _flush(self) -> None:
        if self._group:
            self._writer.write_table(pa.Table.from_pylist(self._group, SCHEMA), row_group_size=ROW_GROUP)
            self._group = []

    def _close_part(self, *, last: bool) -> None:
        self._flush()
        number = len(self.paths)
        self.rows += self._part_rows
        self.digest.merge(self._part_digest.value)
        said = {**self.footer, "part": number, "rows": self._part_rows, "digest": self._part_digest.value}
        if last:
            said["total"] = {"parts": number + 1, "rows": self.rows, "digest": self.digest.value}
        self._writer.add_key_value_metadata({FOOTER.decode(): json.dumps(said, sort_keys=True)})
        self._writer.close()
        place = self.path if last and number == 0 else part_path(self.path, number)
        self._spool.seek(0)
        with store.atomic(place) as file:
            shutil.copyfileobj(self._spool, file, 1 << 20)
        self._spool.close()
        self.paths.append(place)
