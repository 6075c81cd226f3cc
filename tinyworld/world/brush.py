"""Shapes with a dark outline, drawn on a picture and its mask at once."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from .palette import RGB, darker

Points = NDArray[np.float64]
_ANGLES = np.linspace(0, 2 * math.pi, 28, endpoint=False)
CIRCLE: Points = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
"""[28, 2] points on the unit circle, from the right by way of the bottom."""


class Brush:
    """Draws on an RGB canvas and on an "L" mask of the same size.

    Attributes:
        px: Pixels of the canvas that make one pixel of a 64 px picture.
        line: Width of outlines in pixels of the canvas.
    """

    def __init__(self, canvas: Image.Image, mask: Image.Image) -> None:
        self.canvas = canvas
        self.draw = ImageDraw.Draw(canvas)
        self.mask = ImageDraw.Draw(mask)
        self.px = canvas.width / 64
        self.line = 0.6 * self.px

    def polygon(self, points: Points, fill: RGB, outline: bool = True) -> None:
        """Fill a polygon ([n, 2], pixels) and put an outline around it."""
        flat: list[float] = points.ravel().tolist()
        if outline:
            closed = flat + flat[:4]
            width = round(2 * self.line)
            joint = "curve" if len(points) < 12 else None  # smooth outlines need no joints
            self.draw.line(closed, fill=darker(fill), width=width, joint=joint)
            self.mask.line(closed, fill=255, width=width, joint=joint)
        self.draw.polygon(flat, fill=fill)
        self.mask.polygon(flat, fill=255)

    def disc(self, centre: Points, radius: float, fill: RGB, outline: bool = True) -> None:
        """Fill a circle and put an outline around it."""
        x, y = float(centre[0]), float(centre[1])
        r = radius + (self.line if outline else 0)
        box = (x - r, y - r, x + r, y + r)
        self.mask.ellipse(box, fill=255)
        if outline:
            self.draw.ellipse(box, fill=darker(fill))
            box = (x - radius, y - radius, x + radius, y + radius)
        self.draw.ellipse(box, fill=fill)

    def limb(self, bones: Sequence[tuple[Points, Points, float, float, RGB]]) -> None:
        """Draw tapered capsules (from, to, radius there and there, colour) as one limb."""
        for grow in (self.line, 0.0):
            for a, b, ra, rb, fill in bones:
                self._capsule(a, b, ra + grow, rb + grow, darker(fill) if grow else fill)

    def _capsule(self, a: Points, b: Points, ra: float, rb: float, fill: RGB) -> None:
        ra, rb = max(ra, 0.0), max(rb, 0.0)  # a tiny figure's limbs are thinner than their outline
        ax, ay, bx, by = float(a[0]), float(a[1]), float(b[0]), float(b[1])
        d = max(math.hypot(bx - ax, by - ay), 1e-6)
        nx, ny = -(by - ay) / d, (bx - ax) / d
        flat = [
            ax + nx * ra, ay + ny * ra, bx + nx * rb, by + ny * rb,
            bx - nx * rb, by - ny * rb, ax - nx * ra, ay - ny * ra,
        ]  # fmt: skip
        for target, colour in ((self.draw, fill), (self.mask, 255)):
            target.polygon(flat, fill=colour)
            target.ellipse((ax - ra, ay - ra, ax + ra, ay + ra), fill=colour)
            target.ellipse((bx - rb, by - rb, bx + rb, by + rb), fill=colour)
