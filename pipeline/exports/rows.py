"""A manifest's rows by split, so that any stretch of them can be read without the others' pictures."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import pyarrow as pa

from pipeline.config import UserError
from pipeline.manifest.read import Manifest

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,120}")


@dataclass(frozen=True)
class _Stretch:
    """Consecutive rows of one split inside a row group."""

    part: int
    group: int
    start: int
    rows: int


class SplitRows:
    """Which rows belong to which split; memory grows with the stretches, not with the rows.

    Attributes:
        counts: Rows by split, splits in the order ``train``, ``validation``, ``test``, others.
    """

    def __init__(self, manifest: Manifest, only: str | None = None) -> None:
        """Reads the column ``split``.

        Raises:
            UserError: A split has a name that no file can have, or there are no rows.
        """
        self.manifest = manifest
        found: dict[str, list[_Stretch]] = {}
        for part in range(len(manifest.paths)):
            with manifest.open_part(part) as parquet:
                for group in range(parquet.num_row_groups):
                    splits = parquet.read_row_group(group, columns=["split"], use_threads=False).column(0).to_pylist()
                    start = 0
                    for split, run in groupby(splits):
                        length = len(list(run))
                        if only in (None, split):
                            found.setdefault(safe(split, "split"), []).append(_Stretch(part, group, start, length))
                        start += length
        if not found:
            of_split = f" of split {only!r}" if only else ""
            raise UserError(f"manifest {manifest.path}: has no rows{of_split}; nothing to export")
        order = {name: at for at, name in enumerate(("train", "validation", "test"))}
        self._stretches = {name: found[name] for name in sorted(found, key=lambda name: (order.get(name, 9), name))}
        self.counts = {name: sum(one.rows for one in all_) for name, all_ in self._stretches.items()}

    def read(self, split: str, first: int, stop: int, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The rows of a split from number ``first`` up to ``stop``, a row group at a time, in order."""
        wanted: list[_Stretch] = []
        at = 0
        for one in self._stretches[split]:
            low, high = max(first - at, 0), min(stop - at, one.rows)
            if low < high:
                wanted.append(_Stretch(one.part, one.group, one.start + low, high - low))
            at += one.rows
        for part, of_part in groupby(wanted, key=lambda one: one.part):
            with self.manifest.open_part(part) as parquet:
                for group, of_group in groupby(of_part, key=lambda one: one.group):
                    table = parquet.read_row_group(group, columns=columns, use_threads=False)
                    for one in of_group:
                        yield from table.slice(one.start, one.rows).combine_chunks().to_batches()

    def all(self, split: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """All rows of a split."""
        return self.read(split, 0, self.counts[split], columns)

    def row_bytes(self) -> float:
        """Mean size of a row as it is stored."""
        size = 0
        for part in range(len(self.manifest.paths)):
            with self.manifest.open_part(part) as parquet:
                metadata = parquet.metadata
                for group in range(metadata.num_row_groups):
                    columns = range(metadata.num_columns)
                    size += sum(metadata.row_group(group).column(at).total_compressed_size for at in columns)
        return size / max(self.manifest.rows, 1)


def safe(name: object, what: str) -> str:
    """A name of the data's that is to become part of a path: letters, digits, ``_`` and ``-``, nothing that leads away.

    Raises:
        UserError: It is no such name.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UserError(f"{what} {str(name)[:60]!r}: cannot name a file (letters, digits, _ and - can)")
    return name


def columns_of(manifest: Manifest, without: Sequence[str] = ()) -> list[str]:
    """The manifest's columns in order."""
    return [name for name in manifest.columns if name not in without]


def chunks(counts: Mapping[str, int], size: int) -> Iterator[tuple[str, int, int, int, int]]:
    """Even stretches of at most ``size`` rows: split, number, how many of the split, first row, row behind the last."""
    for split, rows in counts.items():
        of = -(-rows // size)
        for number in range(of):
            yield split, number, of, rows * number // of, rows * (number + 1) // of
