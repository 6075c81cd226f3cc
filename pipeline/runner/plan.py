"""Cuts the listing of sources into shards, the unit of scheduling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline import ids
from pipeline.records import Listed


@dataclass(frozen=True)
class Shard:
    """A few sources that travel through the stages together; ``name`` is its place in the listing."""

    name: str
    rows: tuple[Listed, ...]

    @property
    def digest(self) -> str:
        """The input digest of the ``sources`` stage."""
        return ids.rows_digest(self.rows)


def shards(listing: Sequence[Listed], size: int) -> list[Shard]:
    """Consecutive shards of at most ``size`` sources."""
    starts = range(0, len(listing), size)
    return [Shard(f"{number:06d}", tuple(listing[at : at + size])) for number, at in enumerate(starts)]
