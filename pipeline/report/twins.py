"""Near twins: pictures of different subjects before the same background that look alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 60
_COMPARED = 2000
"""Rows of one background that are compared with each other; more would cost the square of their number."""


def near_twins(rows: pd.DataFrame, shown: int = SHOWN) -> list[tuple[int, int, int]]:
    """The pairs with the most similar perceptual hashes, each row in one pair at most.

    Args:
        rows: With ``background_id``, ``subject_id`` and ``phash``.
        shown: How many pairs at most.

    Returns:
        (row number, row number, bits that differ), the most similar first.
    """
    found: list[tuple[int, int, int]] = []
    hashes = np.array([_code(phash) for phash in rows["phash"]], np.uint64)
    subjects = rows["subject_id"].cat.codes.to_numpy()
    for numbers in rows.groupby("background_id", observed=True).indices.values():
        found += _closest(np.asarray(numbers)[:_COMPARED], hashes, subjects, shown)
    pairs: list[tuple[int, int, int]] = []
    taken: set[int] = set()
    for bits, one, other in sorted(found):
        if not taken & {one, other}:
            taken |= {one, other}
            pairs.append((one, other, bits))
    return pairs[:shown]


def _closest(numbers: np.ndarray, hashes: np.ndarray, subjects: np.ndarray, shown: int) -> list[tuple[int, int, int]]:
    """For each row the nearest later one of another subject; of those the best."""
    best = []
    for at, number in enumerate(numbers[:-1]):
        others = numbers[at + 1 :]
        bits = np.bitwise_count(hashes[others] ^ hashes[number]).astype(np.int64)
        bits[subjects[others] == subjects[number]] = 65
        nearest = int(bits.argmin())
        if bits[nearest] <= 64:
            best.append((int(bits[nearest]), int(number), int(others[nearest])))
    return sorted(best)[: 4 * shown]


def _code(phash: object) -> int:
    """A hash as a number; what is no hash counts as 0."""
    try:
        return int(str(phash), 16) & (1 << 64) - 1
    except ValueError:
        return 0
