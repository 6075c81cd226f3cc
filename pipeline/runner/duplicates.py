"""The barrier between ``sources`` and ``poses``: no picture twice in a dataset.

Not a stage: it looks at all sources at once. It needs only their hashes, takes seconds for 100,000 of them, and is done
anew each time rather than stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pipeline import ids
from pipeline.imaging.phash import NearHashes
from pipeline.records import Reason, Source
from pipeline.runner.ledger import Fragment


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Which sources are left out; ``found`` maps a path to the reason and the path that it duplicates."""

    found: dict[str, tuple[Reason, str]] = field(default_factory=dict)

    def among(self, paths: Iterable[str]) -> Duplicates:
        """Those of a few sources alone."""
        return Duplicates({path: self.found[path] for path in paths if path in self.found})

    def mark(self, rows: Sequence[Source]) -> list[Source]:
        """The rows with the duplicates among them rejected; ``detail`` names the source that is kept."""
        return [row.reject(*self.found[row.path]) if row.ok and row.path in self.found else row for row in rows]

    def digest(self, fragment: Fragment) -> str:
        """Input digest of the next stage: the ``sources`` fragment without its duplicates."""
        return ids.digest([fragment.digest, [path for path in fragment.sources if path in self.found]])


def find_duplicates(rows: Iterable[Source], distance: int) -> Duplicates:
    """Finds exact duplicates (same bytes) and near ones (perceptual hashes at most ``distance`` bits apart).

    Of equal ones that with a pose and rights is kept, else the first of the listing, as of near ones. A row is compared
    with the kept ones only, so a chain of small changes does not swallow pictures that differ clearly.

    Args:
        rows: In the order of the listing; only ``ok`` ones count.
        distance: Of 64 bits; 0 = equal hashes.
    """
    ok = [(row.source_id, row.path, row.source_phash, _worth(row)) for row in rows if row.ok]
    best: dict[str, int] = {}
    for place, (source, _, _, worth) in enumerate(ok):
        if source not in best or worth > ok[best[source]][-1]:
            best[source] = place
    hashes = NearHashes(distance)
    nearly: dict[str, str] = {}
    left_out: list[int] = []
    for place, (source, path, code, _) in enumerate(ok):
        if place != best[source]:
            left_out.append(place)
        elif (near := hashes.find(code)) is not None:
            left_out.append(place)
            nearly[source] = near
        else:
            hashes.add(code, path)
    found: dict[str, tuple[Reason, str]] = {}
    for source, path, _, _ in map(ok.__getitem__, left_out):
        equal = Reason.DUPLICATE, ok[best[source]][1]
        found[path] = (Reason.NEAR_DUPLICATE, nearly[source]) if source in nearly else equal
    return Duplicates(found)


def _worth(row: Source) -> int:
    """With a pose is worth more than with rights."""
    return 2 * (row.pose_entry is not None) + (row.source_license is not None)
