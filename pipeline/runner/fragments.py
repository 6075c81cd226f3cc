"""A build's fragments, as far as they are there, and what they count."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from pipeline.records import Status
from pipeline.runner.duplicates import Duplicates
from pipeline.runner.engine import Chain

Counts = dict[str, dict[str, int]]
"""By stage, in order: rows by status, or rejected rows by reason."""


@dataclass(frozen=True, kw_only=True)
class Fragments:
    """A build's fragments.

    Attributes:
        chains: Each shard's, in the order of the listing.
        duplicates: None while not all sources have been opened.
    """

    chains: list[Chain]
    duplicates: Duplicates | None

    def counts(self) -> tuple[Counts, Counts]:
        """By stage: rows by status, and rejected rows by reason; duplicates are counted among the sources."""
        counts: dict[str, Counter[str]] = {}
        reasons: dict[str, Counter[str]] = {}
        for fragment in (fragment for chain in self.chains for fragment in chain):
            counts.setdefault(fragment.stage, Counter()).update(fragment.counts)
            reasons.setdefault(fragment.stage, Counter()).update(fragment.reasons)
        for reason, _ in self.duplicates.found.values() if self.duplicates else ():
            first = self.chains[0][0].stage
            counts[first].update({Status.OK: -1, Status.REJECTED: 1})
            reasons[first][reason] += 1
        return {k: dict(v) for k, v in counts.items()}, {k: dict(v) for k, v in reasons.items()}
