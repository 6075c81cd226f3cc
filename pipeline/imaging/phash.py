"""Perceptual hash: 64 bits that stay nearly the same when a picture is scaled or recompressed."""

from __future__ import annotations

from array import array
from itertools import pairwise

import numpy as np
from PIL import Image

_BITS = 64


def phash(image: Image.Image) -> str:
    """The hash as 16 hex."""
    import imagehash

    return str(imagehash.phash(image))


def distance(one: str, other: str) -> int:
    """Bits in which two hashes differ, 0..64."""
    return (int(one, 16) ^ int(other, 16)).bit_count()


class NearHashes:
    """A growing set of hashes that finds near ones fast.

    Kept by bands of their bits: two hashes that differ in at most d bits agree on at least one of d + 1 bands.

    Attributes:
        distance: Up to how many of 64 bits count as near.
    """

    def __init__(self, distance: int) -> None:
        self.distance = distance
        count = min(distance + 1, _BITS)
        edges = [number * _BITS // count for number in range(count + 1)]
        self.bands = [(low, (1 << high - low) - 1) for low, high in pairwise(edges)] if distance < _BITS else [(0, 0)]
        self.codes, self.names = array("Q"), list[str]()
        self.buckets: list[dict[int, int | array[int]]] = [{} for _ in self.bands]
        """By band and its bits: the place of the one hash that has them, or the places; most have one, or few."""

    def add(self, phash: str, name: str) -> None:
        """Adds a hash (16 hex) under a name."""
        code, place = int(phash, 16), len(self.codes)
        self.codes.append(code)
        self.names.append(name)
        for (low, mask), bucket in zip(self.bands, self.buckets, strict=True):
            bits = code >> low & mask
            known = bucket.setdefault(bits, place)
            if isinstance(known, array):
                known.append(place)
            elif known != place:
                bucket[bits] = array("Q", [known, place])

    def find(self, phash: str) -> str | None:
        """The name of a hash near to this one, or None."""
        code = int(phash, 16)
        for (low, mask), bucket in zip(self.bands, self.buckets, strict=True):
            places = bucket.get(code >> low & mask)
            if places is not None and (near := self._first(code, places)) is not None:
                return self.names[near]
        return None

    def _first(self, code: int, places: int | array[int]) -> int | None:
        """The first of some places whose hash is near."""
        if isinstance(places, int):
            return places if (code ^ self.codes[places]).bit_count() <= self.distance else None
        at = np.frombuffer(places, np.uint64)
        near = np.bitwise_count(np.frombuffer(self.codes, np.uint64)[at] ^ np.uint64(code)) <= self.distance
        return int(at[near.argmax()]) if near.any() else None
