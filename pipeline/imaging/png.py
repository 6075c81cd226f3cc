"""PNG in memory: how pictures travel between stages and stand in the manifest."""

from __future__ import annotations

import io

from PIL import Image


def to_png(image: Image.Image) -> bytes:
    """The picture as PNG; the same bytes for the same pixels."""
    plain = image.copy()
    plain.info.clear()  # colour profiles and the like would make equal pixels differ
    buffer = io.BytesIO()
    plain.save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()


def from_png(data: bytes) -> Image.Image:
    """The picture of :func:`to_png`, loaded, in the mode it was stored in (RGB, or L for masks)."""
    image = Image.open(io.BytesIO(data), formats=("PNG",))
    image.load()
    return image
