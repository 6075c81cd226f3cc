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
        self.buckets: list[dict[int, tuple[array[int], list[str]]]] = [{} for _ in self.bands]

    def add(self, phash: str, name: str) -> None:
        """Adds a hash (16 hex) under a name."""
        code = int(phash, 16)
        for (low, mask), bucket in zip(self.bands, self.buckets, strict=True):
            codes, names = bucket.setdefault(code >> low & mask, (array("Q"), []))
            codes.append(code)
            names.append(name)

    def find(self, phash: str) -> str | None:
        """The name of a hash near to this one, or None."""
        code = int(phash, 16)
        for (low, mask), bucket in zip(self.bands, self.buckets, strict=True):
            if (code >> low & mask) in bucket:
                codes, names = bucket[code >> low & mask]
                near = np.bitwise_count(np.frombuffer(codes, np.uint64) ^ np.uint64(code)) <= self.distance
                if near.any():
                    return names[int(near.argmax())]
        return None
