"""Reads manifests: one file, or a folder of parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import store
from pipeline.arrow import open_parquet
from pipeline.config import UserError
from pipeline.manifest.digest import RowsDigest
from pipeline.manifest.generations import footer_of, newest, rejected_of
from pipeline.manifest.places import SUFFIX
from pipeline.manifest.schema import OPTIONAL, ROW_GROUP, SCHEMA


class Manifest:
    """A manifest on disk; opening it reads the footers only.

    Attributes:
        path: ``….parquet``, whatever it was opened by.
        paths: The file, or the parts in order.
        footers: Each part's footer (empty where another program wrote the file).
        rows: How many there are.
        generation: The files that it is.
    """

    def __init__(self, path: str) -> None:
        """Opens a manifest.

        Args:
            path: The file ``v1.parquet``, or the folder ``v1`` of its parts; either name finds the other, too.

        Raises:
            UserError: Nothing there, not Parquet, or parts are missing.
        """
        self.path = path if path.endswith(SUFFIX) else path.rstrip("/") + SUFFIX
        self.generation = newest(self.path)
        self.paths: list[str] = self.generation.paths
        self.footers: list[dict[str, Any]] = self.generation.footers
        self.rows: int = sum(self.generation.rows)

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
    def columns(self) -> list[str]:
        """Names of the columns of the first part."""
        with self.open_part(0) as parquet:
            return list(parquet.schema_arrow.names)

    @property
    def missing_columns(self) -> list[str]:
        """Names of the columns that every manifest of ours has, and this one has not."""
        here = self.columns
        return [name for name in SCHEMA.names if name not in here and name not in OPTIONAL]

    @property
    def rejected_path(self) -> str:
        return rejected_of(self.path, self.footers)

    def batches(self, columns: Sequence[str] | None = None, size: int = ROW_GROUP) -> Iterator[pa.RecordBatch]:
        """The rows in order, at most ``size`` at a time; ``columns`` None: all.

        Raises:
            UserError: The manifest was replaced since it was opened.
        """
        for number in range(len(self.paths)):
            with self.open_part(number) as parquet:
                yield from parquet.iter_batches(size, columns=columns, use_threads=False)

    @contextmanager
    def open_part(self, number: int) -> Iterator[pq.ParquetFile]:
        """One of the parts, its pages' checksums watched.

        Raises:
            UserError: The manifest was replaced since it was opened.
        """
        replaced = f"manifest {self.path}: was replaced while it was read; start again"
        try:
            file = store.open_input(self.paths[number])
        except FileNotFoundError as error:
            raise UserError(replaced) from error
        try:
            with file, open_parquet(file, check_pages=True) as parquet:
                if footer_of(parquet.metadata) != self.footers[number]:
                    raise UserError(replaced)
                yield parquet
        except OSError as error:
            if store.vanished(error):
                raise UserError(replaced) from error
            raise
