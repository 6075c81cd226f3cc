"""Damage that does not touch what a picture shows: a JPEG's lost end, a PNG's broken notes."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image

_PNG = b"\x89PNG\r\n\x1a\n"
_END_OF_JPEG = b"\xff\xd9"
_SHOWN = (b"tRNS", b"iCCP", b"gAMA", b"cHRM", b"sRGB", b"sBIT", b"cICP")
"""PNG chunks that a picture can do without, but not look the same."""


def jpeg_without_its_end(data: bytes) -> tuple[bytes, float]:
    """A cut-off JPEG, ended properly.

    The decoder fills what is missing with flat blocks. How much that is shows when noise is put in its place: pixels
    that then change are not the file's.

    Returns:
        The file's bytes with an end, and the share of pixels that are lost, 0..1.

    Raises:
        Exception: Whatever the decoder raises where not even a beginning is there.
    """
    noise = np.random.default_rng(0).integers(0, 255, 1 << 16, np.uint8).tobytes()  # no 255: nothing but pixels
    ended = data.removesuffix(b"\xff") + _END_OF_JPEG
    flat, noisy = (_pixels(each) for each in (ended, data.removesuffix(b"\xff") + noise + _END_OF_JPEG))
    return ended, float(np.mean((flat != noisy).reshape(*flat.shape[:2], -1).any(axis=2)))


def _pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data), formats=("JPEG",)))


def png_without_notes(data: bytes) -> bytes | None:
    """A PNG without the chunks that say nothing about its pixels; None: it is no PNG or is cut off."""
    if not data.startswith(_PNG):
        return None
    kept, at = [_PNG], len(_PNG)
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at) if at + 12 <= len(data) else (len(data), b"")
        chunk = data[at : at + 12 + length]
        if len(chunk) < 12 + length:
            return None
        (crc,) = struct.unpack(">I", chunk[-4:])
        needed = not kind[0] & 0x20 or kind in _SHOWN
        if needed or (kind == b"eXIf" and crc == zlib.crc32(chunk[4:-4])):
            kept.append(chunk)
        if kind == b"IEND":
            return b"".join(kept)
        at += len(chunk)
    return None
