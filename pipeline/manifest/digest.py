"""The digest over a manifest's rows: one number that proves two builds to be the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline import ids
from pipeline.manifest.schema import SCHEMA

_MODULUS = 1 << 256


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

    def merge(self, other: str) -> None:
        """Counts another part's digest in."""
        self._sum += int(other, 16)

    @property
    def value(self) -> str:
        """64 hex."""
        return f"{self._sum % _MODULUS:064x}"
