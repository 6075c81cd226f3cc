"""Cuts the listing of sources into shards, the unit of scheduling."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar, overload

from pipeline import ids
from pipeline.config import UserError
from pipeline.records import Listed
from pipeline.runner.duplicates import Duplicates
from pipeline.runner.ledger import Fragment

T = TypeVar("T")


class Packed(Sequence[T]):
    """A few rows as one piece of bytes, unpacked whenever they are looked at: a third of the memory of the objects."""

    __slots__ = ("_count", "_data")

    def __init__(self, rows: Sequence[T]) -> None:
        self._count, self._data = len(rows), pickle.dumps(tuple(rows), pickle.HIGHEST_PROTOCOL)

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, at: int) -> T: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[T]: ...
    def __getitem__(self, at: int | slice) -> T | Sequence[T]:
        rows: tuple[T, ...] = pickle.loads(self._data)
        return rows[at]

    def __iter__(self) -> Iterator[T]:
        return iter(self[:])

    def __eq__(self, other: object) -> bool:
        return tuple(self) == tuple(other) if isinstance(other, Packed) else NotImplemented

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class Shard:
    """A few sources that travel through the stages together. Data alone: engines may send it to other machines.

    Attributes:
        name: Its place in the listing.
        rows: The files.
        opened: Its ``sources`` fragment, once the duplicate check has been passed; later stages go on from there.
        duplicates: What the check found among its sources.
    """

    name: str
    rows: Sequence[Listed]
    opened: Fragment | None = None
    duplicates: Duplicates = field(default_factory=Duplicates)

    @property
    def digest(self) -> str:
        """The input digest of the ``sources`` stage."""
        return ids.rows_digest(self.rows)


def shards(listing: Sequence[Listed], size: int) -> list[Shard]:
    """Consecutive shards of at most ``size`` sources."""
    starts = range(0, len(listing), size)
    return [Shard(f"{number:06d}", Packed(listing[at : at + size])) for number, at in enumerate(starts)]


@dataclass(frozen=True)
class Part:
    """One worker's share of a build whose workers know nothing of each other, written ``number/count``."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Part:
        """``2/3``: the second of three.

        Raises:
            UserError: It is something else.
        """
        if not (match := re.fullmatch(r"(\d{1,9})/(\d{1,9})", text, re.ASCII)):
            raise UserError(f"--part {text!r}: must be I/N, such as 1/3 for the first of three")
        part = cls(*map(int, match.groups()))
        if not 1 <= part.number <= part.count:
            raise UserError(f"--part {text}: parts are numbered from 1 to {part.count}")
        return part

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def of(self, shards: Sequence[T]) -> list[T]:
        """Every ``count``-th shard, or what there is of each: the same for all who list the same sources."""
        return list(shards[self.number - 1 :: self.count])
