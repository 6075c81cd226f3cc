"""Backgrounds that are places: landscapes in four lights, a room, a street."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from .landscape import PAINTERS, LitCanvas
from .palette import COLORS, RGB, clip, jitter, mix
from .patterns import fade

LIGHTS: tuple[str, ...] = ("by day", "at sunset", "at night", "in fog")
SKIES: dict[str, tuple[RGB, RGB]] = {
    "by day": (( 96, 168, 236), (196, 226, 246)),
    "at sunset": ((112, 72, 150), (252, 158, 74)),
    "at night": ((10, 14, 42), (36, 48, 96)),
    "in fog": ((188, 194, 200), (220, 222, 224)),
}  # fmt: skip


def lit(color: RGB, light: str) -> RGB:
    """How ``color`` looks in a light."""
    r, g, b = color
    if light == "at sunset":
        return clip((r * 0.82 + 36, g * 0.62 + 12, b * 0.55 + 10))
    if light == "at night":
        return clip((r * 0.32 + 2, g * 0.38 + 8, b * 0.42 + 38))
    if light == "in fog":
        return mix(color, (208, 211, 214), 0.5)
    return color


def draw_scene(kind: str, variant: str, rng: np.random.Generator, size: int) -> Image.Image:
    """Draw a scene; ``variant`` is a light, or the colour of a room's walls."""
    if kind == "room":
        return _room(variant, rng, size)
    shift = float(rng.uniform(0.95, 1.05))
    top, bottom = SKIES[variant]
    image = fade(clip((top[0] * shift, top[1] * shift, top[2])), bottom, size)
    canvas = LitCanvas(ImageDraw.Draw(image), size, lambda color: lit(color, variant))
    left = bool(rng.random() < 0.5)
    if kind != "brick wall":
        _sun(canvas, variant, left, rng)
    PAINTERS[kind](canvas, rng, left, variant)
    return image


def _sun(canvas: LitCanvas, light: str, left: bool, rng: np.random.Generator) -> None:
    """Sun or moon, on the side where the tall things are not."""
    x = float(rng.uniform(0.1, 0.22))
    x = 1 - x if left else x
    y, r = float(rng.uniform(0.1, 0.18)), 0.075
    if light == "by day":
        canvas.disc(x, y, r, (255, 232, 96), raw=True)
    elif light == "at sunset":
        canvas.disc(x, y + 0.14, 0.11, (255, 214, 92), raw=True)
    elif light == "at night":
        canvas.disc(x, y, r, (238, 238, 220), raw=True)


def _room(color: str, rng: np.random.Generator, size: int) -> Image.Image:
    """A wall in ``color`` with a window, a picture and a lamp above a wooden floor."""
    wall = jitter(mix(COLORS[color], (255, 255, 255), 0.35), rng)
    image = Image.new("RGB", (size, size), wall)
    canvas = LitCanvas(ImageDraw.Draw(image), size, lambda c: c)
    floor = float(rng.uniform(0.72, 0.8))
    canvas.box(0, floor, 1, 1, (168, 112, 66))
    for k in range(7):
        x = -0.3 + 0.26 * k
        canvas.poly(
            [
                (0.5 + (x - 0.5) * 0.8, floor),
                (x, 1),
                (x + 0.025, 1),
                (0.52 + (x - 0.5) * 0.8, floor),
            ],
            (132, 84, 46),
        )
    canvas.box(0, floor - 0.05, 1, floor, (246, 242, 234))
    left = bool(rng.random() < 0.5)
    w = 0.02 + float(rng.uniform(0, 0.04))
    wx, px = (w, 0.72 - w) if left else (0.68 - w, w + 0.02)
    y = float(rng.uniform(0.07, 0.14))
    canvas.box(wx, y, wx + 0.31, y + 0.4, (250, 250, 250))
    for i in (0, 1):
        for j in (0, 1):
            a, b = wx + 0.035 + 0.13 * i, y + 0.035 + 0.175 * j
            canvas.box(a, b, a + 0.11, b + 0.155, (128, 200, 244))
    canvas.box(px, y + 0.03, px + 0.25, y + 0.27, (92, 58, 34))
    canvas.box(px + 0.035, y + 0.065, px + 0.215, y + 0.235, (244, 234, 206))
    canvas.poly([(px + 0.05, y + 0.22), (px + 0.12, y + 0.1), (px + 0.2, y + 0.22)], (70, 130, 90))
    return image
