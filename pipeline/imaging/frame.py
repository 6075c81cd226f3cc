"""The square that a source becomes, and the way of its pixels there."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

Frame = list[float]
"""``[x0, y0, side]`` in the original's pixels: the square's corner and side; it reaches beyond the shorter side."""


def frame_of(width: int, height: int) -> Frame:
    """The smallest square around a whole picture, centred."""
    side = max(width, height)
    return [(width - side) / 2, (height - side) / 2, float(side)]


def to_square(points: Sequence[Sequence[float]], frame: Sequence[float]) -> list[tuple[float, float]]:
    """Pixels of the original (0, 0 = its upper left corner) to 0..1 of the square."""
    x0, y0, side = frame
    return [((point[0] - x0) / side, (point[1] - y0) / side) for point in points]


def square(image: Image.Image, size: int) -> tuple[Image.Image, Frame]:
    """Squares a picture by padding, and resizes it (Lanczos).

    The padding has the mean colour of the two edges that it adjoins, so that it does not draw the eye as a black bar
    would. Resized first and padded then, so that a very long picture costs no more memory than others of its area.

    Args:
        image: RGB, any size.
        size: Side of the square to make, pixels.

    Returns:
        The square, and its frame in the original's pixels.
    """
    frame = frame_of(*image.size)
    x0, y0, side = frame
    if image.width == image.height:
        return image.resize((size, size), Image.Resampling.LANCZOS), frame
    scale = side / size
    # the square's pixels that the picture touches, whole ones: the strip of it that overhangs is padding too
    left, top = math.floor(-x0 / scale + 1e-9), math.floor(-y0 / scale + 1e-9)
    right, bottom = size - left, size - top
    color = _edge_color(image)
    margin = math.ceil(scale)
    strip = Image.new("RGB", (image.width + 2 * margin, image.height + 2 * margin), color)
    strip.paste(image, (margin, margin))
    x0, y0 = x0 + margin, y0 + margin
    box = (x0 + left * scale, y0 + top * scale, x0 + right * scale, y0 + bottom * scale)
    canvas = Image.new("RGB", (size, size), color)
    canvas.paste(strip.resize((right - left, bottom - top), Image.Resampling.LANCZOS, box=box), (left, top))
    return canvas, frame


def _edge_color(image: Image.Image) -> tuple[int, int, int]:
    """Mean colour of the two longer edges, next to which the padding goes."""
    width, height = image.size
    wide = [(0, 0, width, 1), (0, height - 1, width, height)]
    tall = [(0, 0, 1, height), (width - 1, 0, width, height)]
    edges = np.concatenate([np.asarray(image.crop(box)).reshape(-1, 3) for box in (wide if width > height else tall)])
    red, green, blue = edges.mean(axis=0).round().astype(int).tolist()
    return red, green, blue
