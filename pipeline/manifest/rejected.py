"""The list of what did not get into a manifest, and why: written with it, named by it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import store
from pipeline.manifest.places import rejected_name, rejected_path
from pipeline.manifest.schema import REJECTED_SCHEMA
from pipeline.manifest.staged import Staged
from pipeline.records import Source

_GROUP = 2000


class RejectedWriter:
    """Writes the list in row groups of some thousand rows, under a name that holds the manifest's generation."""

    def __init__(self, manifest: str, generation: str) -> None:
        self.path, self._name = rejected_path(manifest, generation), rejected_name(manifest, generation)
        self.counts: Counter[str] = Counter()
        self._rows: list[Mapping[str, Any]] = []
        self._staged = Staged(manifest)
        self._writer = pq.ParquetWriter(
            self._staged.file, REJECTED_SCHEMA, compression="zstd", write_page_checksum=True
        )

    def add(self, kind: str, rows: Sequence[Source]) -> None:
        """Lists rows of a run, ``kind`` being ``source``, ``subject`` or ``variation``."""
        for row in rows:
            self.add_values(values_of(kind, row))

    def add_values(self, values: Mapping[str, Any]) -> None:
        """Lists one row by its columns."""
        self.counts[f"{values['kind']}:{values['reason'] or values['status']}"] += 1
        self._rows.append(values)
        if len(self._rows) >= _GROUP:
            with store.naming(self.path):
                self._flush()

    def close(self) -> dict[str, Any]:
        """Puts the list in its place.

        Returns:
            What the manifest's footer says of it: ``path`` (from the manifest's folder), ``rows``, ``sha256``.
        """
        with store.naming(self.path):
            self._flush()
            self._writer.close()
            sha256 = sha256_of(self._staged.file)
            self._staged.finish()
        self._staged.place(self.path)
        return {"path": self._name, "rows": self.counts.total(), "sha256": sha256}

    def abort(self) -> None:
        """Drops what was written; a list that is in its place already is swept away by the next writer."""
        with suppress(OSError, pa.ArrowException):
            self._writer.close()
        self._staged.discard()

    def _flush(self) -> None:
        self._writer.write_table(pa.Table.from_pylist(self._rows, REJECTED_SCHEMA))
        self._rows = []


def values_of(kind: str, row: Source) -> dict[str, Any]:
    """The columns of a run's row, ``kind`` being ``source``, ``subject`` or ``variation``."""
    values = {name: getattr(row, name, None) for name in REJECTED_SCHEMA.names}
    return {**values, "kind": kind, "attempt": getattr(row, row.ATTEMPT) if row.ATTEMPT else None}


def sha256_of(file: IO[bytes]) -> str:
    """Of a whole file, open for reading; 64 hex."""
    file.seek(0)
    sha256 = hashlib.sha256()
    while data := file.read(1 << 20):
        sha256.update(data)
    return sha256.hexdigest()
