"""Painters of the outdoor scenes: large shapes only, nothing finer than 3 px at 64 px."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import ImageDraw

from .palette import RGB


@dataclass
class LitCanvas:
    """A canvas in image sides (0..1) whose colours pass through ``light``."""

    draw: ImageDraw.ImageDraw
    size: int
    light: Callable[[RGB], RGB]

    def poly(self, points: Sequence[tuple[float, float]], color: RGB) -> None:
        """Fill a polygon."""
        self.draw.polygon([c * self.size for p in points for c in p], fill=self.light(color))

    def box(self, x0: float, y0: float, x1: float, y1: float, color: RGB, raw: bool = False) -> None:
        """Fill a rectangle; ``raw`` colours shine by themselves."""
        s = self.size
        self.draw.rectangle((x0 * s, y0 * s, x1 * s, y1 * s), fill=color if raw else self.light(color))

    def disc(self, x: float, y: float, r: float, color: RGB, raw: bool = False, ry: float = 0.0) -> None:
        """Fill a circle, or an ellipse with vertical radius ``ry``."""
        s, v = self.size, ry or r
        box = ((x - r) * s, (y - v) * s, (x + r) * s, (y + v) * s)
        self.draw.ellipse(box, fill=color if raw else self.light(color))


def _beach(s: LitCanvas, rng: np.random.Generator, left: bool, light: str) -> None:
    sea, sand = float(rng.uniform(0.36, 0.44)), float(rng.uniform(0.6, 0.68))
    s.box(0, sea, 1, 1, (26, 118, 196))
    s.box(0, (sea + sand) / 2, 1, sand, (44, 160, 214))
    s.box(0, sand - 0.05, 1, sand, (240, 248, 250))
    s.box(0, sand, 1, 1, (244, 214, 140))
    x = float(rng.uniform(0.08, 0.16))
    lean = float(rng.uniform(0.02, 0.08))

    def flip(v: float) -> float:
        return v if left else 1 - v

    top = (x + lean, 0.24)
    trunk = [(x - 0.03, 0.8), (x + 0.03, 0.8), (top[0] + 0.02, top[1]), (top[0] - 0.02, top[1])]
    s.poly([(flip(a), b) for a, b in trunk], (134, 88, 46))
    for degrees in (-165, -115, -65, -15, 30, 150):
        a = math.radians(degrees)
        tip = (top[0] + 0.24 * math.cos(a), top[1] + 0.17 * math.sin(a) + 0.06)
        mid = (top[0] + 0.14 * math.cos(a), top[1] + 0.12 * math.sin(a))
        n = (-math.sin(a) * 0.045, math.cos(a) * 0.045)
        leaf = [top, (mid[0] + n[0], mid[1] + n[1]), tip, (mid[0] - n[0], mid[1] - n[1])]
        s.poly([(flip(u), v) for u, v in leaf], (32, 134, 58))


def _forest(s: LitCanvas, rng: np.random.Generator, left: bool, light: str) -> None:
    ground = float(rng.uniform(0.72, 0.8))
    s.box(0, 0.3, 1, 1, (96, 156, 92))
    s.box(0, ground, 1, 1, (66, 122, 52))
    shift = float(rng.uniform(-0.05, 0.05))
    for k in range(5):
        x = 0.06 + 0.22 * k + shift + float(rng.uniform(-0.025, 0.025))
        s.box(x - 0.04, 0.2, x + 0.04, ground + 0.06 * (k % 2), (98, 62, 36))
    for k in range(6):
        x = -0.02 + 0.21 * k + shift
        y = 0.12 + 0.07 * (k % 2) + float(rng.uniform(-0.02, 0.02))
        s.disc(x, y, 0.17, (28, 98, 44) if k % 2 else (42, 122, 54), ry=0.19)


def _mountains(s: LitCanvas, rng: np.random.Generator, left: bool, light: str) -> None:
    base = float(rng.uniform(0.72, 0.78))
    shift = float(rng.uniform(-0.06, 0.06))
    for x, y, w, color in (
        (0.5, 0.26, 0.4, (132, 138, 158)),
        (0.12, 0.16, 0.42, (104, 110, 130)),
        (0.88, 0.18, 0.42, (112, 116, 136)),
    ):
        x, y = x + shift, y + float(rng.uniform(-0.04, 0.04))
        s.poly([(x - w, base), (x, y), (x + w, base)], color)
        c = 0.32 * w
        h = y + 0.32 * (base - y)
        s.poly(
            [
                (x - c, h),
                (x, y),
                (x + c, h),
                (x + c * 0.4, h - 0.03),
                (x, h + 0.05),
                (x - c * 0.4, h - 0.03),
            ],
            (250, 252, 255),
        )
    s.box(0, base, 1, 1, (98, 168, 76))
    s.disc(0.2 if left else 0.8, base + 0.04, 0.45, (98, 168, 76), ry=0.08)


def _city(s: LitCanvas, rng: np.random.Generator, left: bool, light: str) -> None:
    walls: tuple[RGB, ...] = (
        (96, 112, 140),
        (150, 108, 96),
        (120, 130, 142),
        (84, 92, 120),
        (160, 146, 124),
    )
    first = int(rng.integers(len(walls)))
    road = float(rng.uniform(0.8, 0.85))
    shines = light in ("at night", "at sunset")
    pane: RGB = (255, 222, 110) if shines else (206, 230, 246)
    x = float(rng.uniform(-0.12, -0.02))
    for k in range(5):
        w = 0.24 if k % 2 else 0.21
        top = (0.1, 0.26, 0.16, 0.3, 0.08)[k] + float(rng.uniform(-0.05, 0.05))
        s.box(x, top, x + w - 0.012, road, walls[(first + k) % len(walls)])
        for row in range(6):
            for col in range(2):
                a, b = x + 0.035 + col * (w - 0.09) * 0.78, top + 0.05 + 0.115 * row
                if b + 0.06 < road:
                    s.box(a, b, a + 0.055, b + 0.06, pane, raw=shines and (row + col + k) % 3 > 0)
        x += w
    s.box(0, road, 1, 1, (84, 86, 92))
    for k in range(4):
        s.box(0.05 + 0.28 * k, road + 0.075, 0.17 + 0.28 * k, road + 0.115, (240, 240, 232))


def _snow(s: LitCanvas, rng: np.random.Generator, left: bool, light: str) -> None:
    ground = float(rng.uniform(0.62, 0.7))
    if light == "by day":
        s.box(0, 0, 1, ground + 0.1, (164, 194, 222))
    s.disc(0.25, ground + 0.32, 0.75, (232, 240, 248), ry=0.36)
    s.disc(0.85, ground + 0.36, 0.75, (246, 250, 254), ry=0.36)
    s.box(0, ground + 0.2, 1, 1, (246, 250, 254))
    for x, y, h in (
        (0.12, ground + 0.1, 0.5),
        (0.88, ground + 0.13, 0.46),
        (0.36, ground + 0.02, 0.3),
    ):
        x += float(rng.uniform(-0.04, 0.04))
        s.box(x - 0.025, y - 0.02, x + 0.025, y + 0.04, (92, 62, 42))
        for part in range(3):
            b, w = y - part * 0.28 * h, (0.26 - 0.05 * part) * h / 0.62
            s.poly([(x - w, b), (x, b - 0.42 * h), (x + w, b)], (24, 92, 70))
            s.poly(
                [(x - w * 0.5, b - 0.21 * h), (x, b - 0.42 * h), (x + w * 0.5, b - 0.21 * h)],
                (250, 252, 255),
            )
    for k in range(9):
        x, y = 0.06 + 0.11 * k, float(rng.uniform(0.03, 0.5))
        s.disc(x, y, 0.024, (252, 254, 255), raw=True)


def _desert(s: LitCanvas, rng: np.random.Generator, left: bool, light: str) -> None:
    dune = float(rng.uniform(0.5, 0.58))
    if light == "by day":
        s.box(0, 0, 1, dune + 0.1, (252, 224, 172))
        s.disc(0.83 if left else 0.17, 0.14, 0.1, (255, 246, 190), raw=True)
    s.disc(0.2 if left else 0.8, dune + 0.4, 0.7, (222, 148, 78), ry=0.46)
    s.disc(0.9 if left else 0.1, dune + 0.5, 0.72, (238, 172, 96), ry=0.46)
    s.box(0, dune + 0.3, 1, 1, (238, 172, 96))
    for x, h in ((0.13, 0.5), (0.87, 0.34)):
        x = (x if left else 1 - x) + float(rng.uniform(-0.03, 0.03))
        y, w, g = 0.84, 0.045, (44, 128, 66)
        s.box(x - w, y - h, x + w, y, g)
        s.disc(x, y - h, w, g)
        for side, at in ((-1, 0.42), (1, 0.58)):
            a, b = x + side * 0.095, y - h * at
            s.box(min(x, a), b - 0.03, max(x, a), b + 0.03, g)
            s.box(a - 0.03, b - 0.4 * h, a + 0.03, b + 0.03, g)
            s.disc(a, b - 0.4 * h, 0.03, g)


def _bricks(s: LitCanvas, rng: np.random.Generator, left: bool, light: str) -> None:
    top = float(rng.uniform(0.1, 0.14))
    s.box(0, top, 1, 1, (222, 208, 192))
    kerb = float(rng.uniform(0.82, 0.87))
    shift, tall, wide, gap = float(rng.uniform(-0.2, 0)), 0.135, 0.27, 0.035
    for row in range(7):
        for col in range(6):
            x = shift - 0.15 + col * wide + (row % 2) * wide / 2
            color: RGB = (178, 74, 54) if (row * 2 + col) % 3 else (156, 60, 46)
            y = top + 0.05 + row * tall
            s.box(x, y, x + wide - gap, y + tall - gap, color)
    s.box(0, top, 1, top + 0.045, (196, 190, 184))
    s.box(0, kerb, 1, 1, (128, 130, 134))
    s.box(0, kerb, 1, kerb + 0.04, (196, 196, 192))


PAINTERS: dict[str, Callable[[LitCanvas, np.random.Generator, bool, str], None]] = {
    "beach": _beach,
    "forest": _forest,
    "mountains": _mountains,
    "city": _city,
    "snow": _snow,
    "desert": _desert,
    "brick wall": _bricks,
}
