"""The digest over a manifest's rows: one number that proves two builds to be the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from json.encoder import encode_basestring
from typing import Any

import pyarrow as pa

from pipeline import ids
from pipeline.manifest.schema import KEYPOINTS, PICTURE, SCHEMA

_MODULUS = 1 << 256
_NAMES = sorted(SCHEMA.names)
_ROW = "{" + ",".join(f'"{name}":%s' for name in _NAMES) + "}"
"""A row as canonical JSON (see :func:`pipeline.ids.digest`), to be filled with each column's."""


class RowsDigest:
    """Sum of the rows' sha256, modulo 2^256.

    A sum, because parts can then be added up, in any order: each part of a large manifest carries its own, and how
    rows are spread over parts and row groups does not matter. It guards against accidents, not against forgers.
    """

    def __init__(self, value: str = "0") -> None:
        self._sum = int(value, 16)

    def add(self, row: Mapping[str, Any]) -> None:
        """Counts a row in; of its pictures only the bytes, not the paths."""
        self._sum += int(ids.digest(ids.canonical(row, SCHEMA)), 16)

    def add_columns(self, columns: Mapping[str, Sequence[str]]) -> None:
        """Counts in the rows that these columns of :func:`canonical_columns` make up: the same sum, in less time."""
        for values in zip(*(columns[name] for name in _NAMES), strict=True):
            self._sum += int.from_bytes(hashlib.sha256((_ROW % values).encode()).digest(), "big")

    def merge(self, other: str) -> None:
        """Counts another part's digest in."""
        self._sum += int(other, 16)

    @property
    def value(self) -> str:
        """64 hex."""
        return f"{self._sum % _MODULUS:064x}"


def canonical_columns(batch: pa.RecordBatch) -> dict[str, list[str]]:
    """What :func:`pipeline.ids.canonical` makes of each value of a batch, as JSON, column by column.

    Args:
        batch: Columns of the very types of :data:`SCHEMA`, no gaps inside keypoints; others are passed over.
    """
    return {name: _json(batch.column(name)) for name in SCHEMA.names if name in batch.schema.names}


def _json(column: pa.Array) -> list[str]:
    if column.type == PICTURE:
        return _of_bytes(column.field("bytes").to_pylist() if not column.null_count else _bytes(column))
    if column.type == KEYPOINTS:
        return _of_keypoints(column)
    values = column.to_pylist()
    if pa.types.is_string(column.type):
        return ["null" if value is None else encode_basestring(value) for value in values]
    if pa.types.is_floating(column.type):
        return [_number(value) for value in values]
    return [json.dumps(value) for value in values]


def _of_bytes(values: Iterable[bytes | None]) -> list[str]:
    """Their sha256; equal neighbours (a source's control image, a subject's mask) are hashed once."""
    found: list[str] = []
    last: bytes | None = None
    said = "null"
    for value in values:
        if value != last:
            last, said = value, "null" if value is None else f'"{hashlib.sha256(value).hexdigest()}"'
        found.append(said)
    return found


def _bytes(column: pa.Array) -> list[bytes | None]:
    return [None if value is None else value["bytes"] for value in column.to_pylist()]


def _of_keypoints(column: pa.Array) -> list[str]:
    size = 18 * 3 * 4
    numbers = memoryview(
        column.values.values.to_numpy(zero_copy_only=False).astype("<f4", copy=False).tobytes()
    )  # gaps are filled in
    start = column.offset * size
    shape = "[[18,3],%s]"
    each = _of_bytes(bytes(numbers[start + at * size : start + (at + 1) * size]) for at in range(len(column)))
    return [shape % sha if there else "null" for sha, there in zip(each, column.is_valid().to_pylist(), strict=True)]


def _number(value: float | None) -> str:
    if value is None:
        return "null"
    return repr(value) if value - value == 0 else f'"{value}"'  # NaN and infinity as text
