"""Named colours, far enough apart to be told from each other at 64 px."""

from __future__ import annotations

import numpy as np

RGB = tuple[int, int, int]

CLOTHING: tuple[str, ...] = (
    "red", "orange", "yellow", "green", "blue", "purple", "pink", "white", "black", "brown",
)  # fmt: skip

COLORS: dict[str, RGB] = {
    "red": (214, 36, 40),
    "orange": (246, 138, 28),
    "yellow": (250, 220, 60),
    "green": (46, 158, 68),
    "blue": (44, 94, 210),
    "purple": (126, 52, 168),
    "pink": (246, 142, 192),
    "white": (245, 245, 245),
    "black": (32, 32, 36),
    "brown": (122, 78, 46),
    "grey": (140, 142, 146),
}

SKIN: dict[str, RGB] = {
    "light": (250, 214, 188),
    "tan": (226, 172, 124),
    "brown": (162, 106, 70),
    "dark": (94, 60, 42),
}

HAIR: dict[str, RGB] = {
    "black": (26, 22, 24),
    "brown": (106, 64, 34),
    "blond": (236, 200, 104),
    "red": (184, 72, 32),
    "grey": (166, 166, 170),
}

MAX_JITTER = 8


def clip(color: tuple[float, float, float]) -> RGB:
    """Round a colour to whole numbers inside 0..255."""
    r, g, b = (min(255, max(0, round(c))) for c in color)
    return (r, g, b)


def jitter(color: RGB, rng: np.random.Generator) -> RGB:
    """Shift each channel by at most ``MAX_JITTER`` grey levels."""
    r, g, b = (int(v) for v in rng.integers(-MAX_JITTER, MAX_JITTER + 1, size=3))
    return clip((color[0] + r, color[1] + g, color[2] + b))


def mix(a: RGB, b: RGB, t: float) -> RGB:
    """Colour at share ``t`` (0..1) of the way from ``a`` to ``b``."""
    return clip((a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t))


def darker(color: RGB, share: float = 0.45) -> RGB:
    """A shade of ``color`` for outlines; near-black colours get a grey that shows on them."""
    if sum(color) < 150:
        return mix(color, (150, 150, 158), 0.45)
    return mix(color, (0, 0, 0), share)


def nearest(rgb: tuple[float, float, float], names: tuple[str, ...] = CLOTHING) -> str:
    """Name of the palette colour closest to ``rgb`` (Euclidean distance in RGB)."""
    return min(names, key=lambda n: sum((a - float(b)) ** 2 for a, b in zip(COLORS[n], rgb, strict=True)))
