"""Between ``sources`` and ``poses``: no picture twice in a dataset.

Not a stage: it looks at all sources at once. It needs only their hashes, takes seconds for 100,000 of them, and is done
anew each time rather than stored.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from pipeline import ids
from pipeline.ledger import Fragment
from pipeline.records import Reason, Source

_BITS = 64


@dataclass(frozen=True)
class Duplicates:
    """Which sources are left out; ``found`` maps a path to the reason and the path that it duplicates."""

    found: dict[str, tuple[Reason, str]] = field(default_factory=dict)

    def mark(self, rows: Sequence[Source]) -> list[Source]:
        """The rows with the duplicates among them rejected; ``detail`` names the source that is kept."""
        return [row.reject(*self.found[row.path]) if row.ok and row.path in self.found else row for row in rows]

    def digest(self, fragment: Fragment) -> str:
        """Input digest of the next stage: the ``sources`` fragment without its duplicates."""
        return ids.digest([fragment.digest, [path for path in fragment.sources if path in self.found]])


def find_duplicates(rows: Iterable[Source], distance: int) -> Duplicates:
    """Finds exact duplicates (same bytes) and near ones (perceptual hashes at most ``distance`` bits apart).

    The first of the listing is kept; a row is compared with the kept ones only, so a chain of small changes does not
    swallow pictures that differ clearly.

    Args:
        rows: In the order of the listing; only ``ok`` ones count.
        distance: Of 64 bits; 0 = equal hashes.
    """
    kept: dict[str, str] = {}
    hashes = _Near(distance)
    duplicates = Duplicates()
    for row in rows:
        if not row.ok:
            continue
        if row.source_id in kept:
            duplicates.found[row.path] = Reason.DUPLICATE, kept[row.source_id]
            continue
        code = int(row.source_phash, 16)
        near = hashes.find(code)
        if near is not None:
            duplicates.found[row.path] = Reason.NEAR_DUPLICATE, near
            continue
        kept[row.source_id] = row.path
        hashes.add(code, row.path)
    return duplicates


class _Near:
    """Hashes by bands of their bits: two that differ in at most d bits agree on at least one of d + 1 bands."""

    def __init__(self, distance: int) -> None:
        self.distance = distance
        edges = [number * _BITS // (distance + 1) for number in range(distance + 2)]
        self.bands = [(low, (1 << high - low) - 1) for low, high in pairwise(edges) if high > low]
        if len(self.bands) <= distance:  # more than 63 bits may differ: everything is near
            self.bands = [(0, 0)]
        self.buckets: list[dict[int, list[tuple[int, str]]]] = [defaultdict(list) for _ in self.bands]

    def add(self, code: int, path: str) -> None:
        for (low, mask), bucket in zip(self.bands, self.buckets, strict=True):
            bucket[code >> low & mask].append((code, path))

    def find(self, code: int) -> str | None:
        for (low, mask), bucket in zip(self.bands, self.buckets, strict=True):
            for other, path in bucket.get(code >> low & mask, ()):
                if (code ^ other).bit_count() <= self.distance:
                    return path
        return None
