"""Backgrounds made of one or two colours: walls and the night sky."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

from .palette import COLORS, RGB, clip, jitter, mix

NIGHT: dict[str, RGB] = {
    "blue": (20, 32, 96),
    "purple": (64, 22, 92),
    "green": (8, 66, 54),
    "black": (10, 10, 16),
}


def fade(top: RGB, bottom: RGB, size: int) -> Image.Image:
    """Square picture that goes evenly from ``top`` to ``bottom``."""
    t = np.linspace(0, 1, size)[:, None]
    column = np.array(top) * (1 - t) + np.array(bottom) * t
    strip = Image.fromarray(np.rint(column).astype(np.uint8)[:, None, :])
    return strip.resize((size, size), Image.Resampling.NEAREST)


def draw_pattern(kind: str, colors: list[str], rng: np.random.Generator, size: int) -> Image.Image:
    """Draw a pattern of the named colours on a square of ``size`` pixels."""
    if kind == "starry night sky":
        return _stars(colors[0], rng, size)
    paints = [jitter(COLORS[c], rng) for c in colors]
    if kind == "plain":
        return Image.new("RGB", (size, size), paints[0])
    if kind == "gradient":
        return fade(paints[0], paints[1], size)
    step = float(rng.uniform(0.17, 0.23)) * size
    u, v = (float(x) * step for x in rng.random(2))
    count = math.ceil(size / step) + 2
    if kind == "striped":
        image = Image.new("RGB", (size, size), paints[0])
        draw = ImageDraw.Draw(image)
        upright = rng.random() < 0.75
        for k in range(-1, count):
            a = (2 * k) * step / 1.5 + u
            b = a + step / 1.5
            draw.rectangle((a, 0, b - 1, size) if upright else (0, a, size, b - 1), fill=paints[1])
    elif kind == "checkered":
        image = Image.new("RGB", (size, size), paints[0])
        draw = ImageDraw.Draw(image)
        for i in range(-2, count):
            for j in range(-2 + i % 2, count, 2):
                x, y = i * step + u, j * step + v
                draw.rectangle((x, y, x + step - 1, y + step - 1), fill=paints[1])
    else:
        image = Image.new("RGB", (size, size), paints[1])
        draw = ImageDraw.Draw(image)
        r = 0.31 * step
        for i in range(-1, count):
            for j in range(-1, count):
                x, y = (i + 0.5 * (j % 2)) * step + u, j * step * 0.9 + v
                draw.ellipse((x - r, y - r, x + r, y + r), fill=paints[0])
    return image


def _stars(color: str, rng: np.random.Generator, size: int) -> Image.Image:
    base = jitter(NIGHT[color], rng)
    light = mix(base, COLORS[color] if color != "black" else (70, 70, 90), 0.35)
    image = fade(base, light, size)
    draw = ImageDraw.Draw(image)
    mx = float(rng.choice([0.16, 0.84])) + float(rng.uniform(-0.04, 0.04))
    my = float(rng.uniform(0.13, 0.2))
    cells = 6
    for i in range(cells):
        for j in range(cells):
            x, y, r, bright = rng.random(4)
            if (i + j) % 2:
                continue
            cx, cy = (i + 0.2 + 0.6 * x) / cells, (j + 0.2 + 0.6 * y) / cells
            if math.hypot(cx - mx, cy - my) > 0.18:
                _star(
                    draw,
                    cx * size,
                    cy * size,
                    (0.032 + 0.02 * r) * size,
                    clip((255, 250, 190 + 60 * bright)),
                )
    mx, my, r = mx * size, my * size, 0.1 * size
    draw.ellipse((mx - r, my - r, mx + r, my + r), fill=(250, 244, 205))
    k = 0.5 * r
    draw.ellipse((mx - r + k, my - r - k / 3, mx + r + k, my + r - k / 3), fill=base)
    return image


def _star(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, fill: RGB) -> None:
    points = []
    for k in range(8):
        r = radius if k % 2 == 0 else 0.42 * radius
        points.append((x + r * math.sin(k * math.pi / 4), y - r * math.cos(k * math.pi / 4)))
    draw.polygon(points, fill=fill)
