"""Reads manifests: one file, or a folder of parts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import store
from pipeline.config import UserError, manifest_stem
from pipeline.manifest.digest import RowsDigest
from pipeline.manifest.parts import SUFFIX, rejected_path
from pipeline.manifest.schema import FOOTER, ROW_GROUP


class Manifest:
    """A manifest on disk; opening it reads the footers only.

    Attributes:
        paths: The file, or the parts in order.
        footers: Each part's footer (empty where another program wrote the file).
        rows: How many there are.
    """

    def __init__(self, path: str) -> None:
        """Opens a manifest.

        Args:
            path: The file ``v1.parquet``, or the folder ``v1`` of its parts; the file's name finds the folder too.

        Raises:
            UserError: Nothing there, not Parquet, or parts are missing.
        """
        self.paths = _parts_of(path)
        self.path = path if path.endswith(SUFFIX) else path.rstrip("/") + SUFFIX
        metadata = [_metadata(part) for part in self.paths]
        self.footers: list[dict[str, Any]] = [_footer(part) for part in metadata]
        self.rows: int = sum(part.num_rows for part in metadata)
        self._check_parts()

    @property
    def footer(self) -> dict[str, Any]:
        """What the dataset was made with."""
        return self.footers[0]

    @property
    def digest(self) -> str:
        """Digest over all rows, as the footers say."""
        total = RowsDigest()
        for footer in self.footers:
            total.merge(footer.get("digest", "0"))
        return total.value

    @property
    def rejected_path(self) -> str:
        return rejected_path(self.path)

    def batches(self, columns: Sequence[str] | None = None, size: int = ROW_GROUP) -> Iterator[pa.RecordBatch]:
        """The rows in order, at most ``size`` at a time; ``columns`` None: all."""
        for path in self.paths:
            with store.open_input(path) as file, pq.ParquetFile(file) as parquet:
                yield from parquet.iter_batches(size, columns=columns, use_threads=False)

    def _check_parts(self) -> None:
        if not any("part" in footer for footer in self.footers):
            return  # written by another program
        totals = [footer["total"] for footer in self.footers if "total" in footer]
        builds = {(footer.get("run_id"), footer.get("created")) for footer in self.footers}
        if len(totals) != 1 or totals[0]["parts"] != len(self.paths) or len(builds) > 1:
            raise UserError(f"manifest {self.path}: parts are missing or of different builds; build it again")


def _parts_of(path: str) -> list[str]:
    if path.endswith(SUFFIX) and store.exists(path):
        return [path]
    folder = manifest_stem(path) if path.endswith(SUFFIX) else path.rstrip("/")
    parts = store.list_files(folder, SUFFIX)
    if not parts:
        raise UserError(f"manifest {path}: no such file or folder of parts")
    return parts


def _metadata(path: str) -> pq.FileMetaData:
    try:
        with store.open_input(path) as file:
            return pq.read_metadata(file)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"manifest {path}: not a readable Parquet file: {error}") from error


def _footer(metadata: pq.FileMetaData) -> dict[str, Any]:
    try:
        footer = json.loads((metadata.metadata or {})[FOOTER])
    except (KeyError, ValueError):
        return {}
    return footer if isinstance(footer, dict) else {}
