"""Stripes, dots and checks on a shirt."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw

from .palette import RGB

Points = NDArray[np.float64]


def paint_pattern(
    canvas: Image.Image,
    trunk: Points,
    pattern: str,
    color: RGB,
    neck: Points,
    down: Points,
    torso: float,
) -> None:
    """Paint the second colour of a patterned shirt inside the trunk.

    Args:
        canvas: RGB picture, drawn on in place.
        trunk: [n, 2] outline of the shirt in pixels.
        pattern: "striped", "dotted" or "checked".
        color: The second colour; it covers about a third.
        neck: [2] pixels, where the pattern starts.
        down: [2] unit vector of the torso.
        torso: Length of the torso in pixels; the pattern repeats about three times in it.
    """
    size = canvas.width
    x0, y0 = (max(0, math.floor(v)) for v in trunk.min(axis=0))
    x1, y1 = (min(size, math.ceil(v) + 1) for v in trunk.max(axis=0))
    if x1 <= x0 or y1 <= y0:
        return
    px = size / 64
    box = (x1 - x0, y1 - y0)
    shape, marks = Image.new("L", box), Image.new("L", box)
    ImageDraw.Draw(shape).polygon((trunk - [x0, y0]).ravel().tolist(), fill=255)
    draw = ImageDraw.Draw(marks)
    right = np.array([down[1], -down[0]])
    origin = neck - [x0, y0]
    reach = 1.1 * torso
    if pattern == "dotted":
        step = max(torso / 3.3, 4.2 * px)
        radius = 0.31 * step
        for row in range(-1, math.ceil(reach / step) + 1):
            for col in range(-5, 6):
                x, y = origin + down * (row + 0.6) * step + right * (col + 0.5 * (row % 2)) * step
                draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    else:
        step = max(torso / (3.0 if pattern == "striped" else 2.7), 4.2 * px)
        band = step * (0.38 if pattern == "striped" else 0.24)
        bars = [(down, right, k + 0.45) for k in range(-1, math.ceil(reach / step) + 1)]
        if pattern == "checked":
            bars += [(right, down, k + 0.5) for k in range(-5, 5)]
        for along, across, k in bars:
            a = origin + along * (k * step - band / 2)
            b = a + along * band
            side = across * 2.2 * torso
            corners = np.array([a - side, a + side, b + side, b - side])
            draw.polygon(corners.ravel().tolist(), fill=255)
    canvas.paste(color, (x0, y0, x1, y1), ImageChops.darker(shape, marks))
