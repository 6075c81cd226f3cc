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


@dataclass(frozen=True)
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
    best: dict[str, tuple[tuple[bool, bool], str]] = {}
    for source, path, _, worth in ok:
        if source not in best or worth > best[source][0]:
            best[source] = worth, path
    hashes = NearHashes(distance)
    why = {source: (Reason.DUPLICATE, path) for source, (_, path) in best.items()}
    left_out: set[str] = set()
    for source, path, code, _ in ok:
        if path != best[source][1]:
            left_out.add(path)
        elif (near := hashes.find(code)) is not None:
            left_out.add(path)
            why[source] = Reason.NEAR_DUPLICATE, near
        else:
            hashes.add(code, path)
    return Duplicates({path: why[source] for source, path, _, _ in ok if path in left_out})


def _worth(row: Source) -> tuple[bool, bool]:
    return row.pose_entry is not None, row.source_license is not None
