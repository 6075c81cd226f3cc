"""Perceptual hash: 64 bits that stay nearly the same when a picture is scaled or recompressed."""

from __future__ import annotations

from array import array
from itertools import pairwise

import numpy as np
from PIL import Image

_BITS = 64
_SLOTS = 1 << 16
_CHAINED = (1 << 10) - 1


def phash(image: Image.Image) -> str:
    """The hash as 16 hex."""
    import imagehash

    return str(imagehash.phash(image))


def distance(one: str, other: str) -> int:
    """Bits in which two hashes differ, 0..64."""
    return (int(one, 16) ^ int(other, 16)).bit_count()


class NearHashes:
    """A growing set of hashes that finds near ones fast, and takes some 30 bytes for each.

    Kept by bands of their bits: two hashes that differ in at most d bits agree on at least one of d + 1 bands. Those
    that agree on a band are chained, the latest first. Where narrow bands would make long chains, all are compared.

    Attributes:
        distance: Up to how many of 64 bits count as near.
    """

    def __init__(self, distance: int) -> None:
        self.distance = distance
        count = min(distance + 1, _BITS)
        edges = [number * _BITS // count for number in range(count + 1)]
        self.bands = [(low, (1 << high - low) - 1) for low, high in pairwise(edges)] if distance < _BITS else [(0, 0)]
        self.codes, self.names = array("Q"), list[str]()
        chained = self.bands if self.bands[0][1] >= _CHAINED else []
        self.latest = [array("i", [-1]) * min(mask + 1, _SLOTS) for _, mask in chained]
        """By band and its bits (the last of them, where there are many): the place of the latest hash."""
        self.before = [array("i") for _ in chained]
        """By band and place: the place of the hash before in its chain."""

    def add(self, phash: str, name: str) -> None:
        """Adds a hash (16 hex) under a name."""
        code = int(phash, 16)
        for (low, mask), latest, before in zip(self.bands, self.latest, self.before, strict=False):
            slot = code >> low & mask & _SLOTS - 1
            before.append(latest[slot])
            latest[slot] = len(self.codes)
        self.codes.append(code)
        self.names.append(name)

    def find(self, phash: str) -> str | None:
        """The name of a hash near to this one, or None; of several the first of the first band that they agree on."""
        code = int(phash, 16)
        near = self._chained(code) if self.latest else self._compared(code)
        if not near:
            return None
        return self.names[min(near, key=lambda place: (self._band(code ^ self.codes[place]), place))]

    def _chained(self, code: int) -> list[int]:
        """The places of the near ones, by their chains."""
        near, codes, most = list[int](), self.codes, self.distance
        for (low, mask), latest, before in zip(self.bands, self.latest, self.before, strict=True):
            place = latest[code >> low & mask & _SLOTS - 1]
            while place >= 0:
                if (code ^ codes[place]).bit_count() <= most:
                    near.append(place)
                place = before[place]
        return near

    def _compared(self, code: int) -> list[int]:
        """The places of the near ones, by looking at all."""
        codes = np.frombuffer(self.codes, np.uint64)
        return np.flatnonzero(np.bitwise_count(codes ^ np.uint64(code)) <= self.distance).tolist()

    def _band(self, apart: int) -> int:
        """The first band in which two hashes do not differ."""
        return next(number for number, (low, mask) in enumerate(self.bands) if not apart >> low & mask)
