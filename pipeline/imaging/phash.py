"""Perceptual hash: 64 bits that stay nearly the same when a picture is scaled or recompressed."""

from __future__ import annotations

from PIL import Image


def phash(image: Image.Image) -> str:
    """The hash as 16 hex."""
    import imagehash

    return str(imagehash.phash(image))


def distance(one: str, other: str) -> int:
    """Bits in which two hashes differ, 0..64."""
    return (int(one, 16) ^ int(other, 16)).bit_count()
