"""Cuts the listing of sources into shards, the unit of scheduling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline import ids
from pipeline.records import Listed
from pipeline.runner.duplicates import Duplicates
from pipeline.runner.ledger import Fragment


@dataclass(frozen=True)
class Shard:
    """A few sources that travel through the stages together. Data alone: engines may send it to other machines.

    Attributes:
        name: Its place in the listing.
        rows: The files.
        opened: Its ``sources`` fragment, once the duplicate check has been passed; later stages go on from there.
        duplicates: What the check found among its sources.
    """

    name: str
    rows: tuple[Listed, ...]
    opened: Fragment | None = None
    duplicates: Duplicates = field(default_factory=Duplicates)

    @property
    def digest(self) -> str:
        """The input digest of the ``sources`` stage."""
        return ids.rows_digest(self.rows)


def shards(listing: Sequence[Listed], size: int) -> list[Shard]:
    """Consecutive shards of at most ``size`` sources."""
    starts = range(0, len(listing), size)
    return [Shard(f"{number:06d}", tuple(listing[at : at + size])) for number, at in enumerate(starts)]
