"""Where a figure stands: fourteen kinds of scenes and patterns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from .identity import article
from .palette import COLORS
from .patterns import draw_pattern
from .scenes import LIGHTS, draw_scene

OUTDOORS = {
    "beach": "on a beach",
    "forest": "in a forest",
    "mountains": "before high mountains",
    "city": "in a city with tall buildings",
    "snow": "in a snowy landscape",
    "desert": "in a desert with a cactus",
    "brick wall": "in a street before a brick wall",
}
PATTERNS = {
    "plain": "before a plain {0} wall",
    "striped": "before a wall with {0} and {1} stripes",
    "checkered": "before a wall with {0} and {1} checks",
    "dotted": "before a wall with {0} dots on {1}",
    "gradient": "before a wall that fades from {0} to {1}",
}
KINDS: tuple[str, ...] = (
    "beach", "forest", "mountains", "city", "snow", "desert", "room", "brick wall",
    "plain", "striped", "checkered", "dotted", "gradient", "starry night sky",
)  # fmt: skip
ROOM_COLORS = ("yellow", "green", "blue", "pink", "orange")
SKY_COLORS = ("blue", "purple", "green", "black")
_ALIKE = (
    {"red", "orange"}, {"red", "pink"}, {"red", "brown"}, {"orange", "yellow"},
    {"orange", "brown"}, {"orange", "pink"}, {"blue", "purple"}, {"black", "brown"},
    {"purple", "brown"}, {"purple", "black"}, {"blue", "black"}, {"green", "brown"},
    {"white", "yellow"}, {"white", "grey"}, {"pink", "grey"}, {"green", "grey"},
    {"brown", "grey"}, {"red", "purple"}, {"white", "pink"},
)  # fmt: skip


def _pairs(ordered: bool) -> tuple[str, ...]:
    names = [n for n in COLORS if n != "grey"]
    return tuple(
        f"{a} and {b}"
        for i, a in enumerate(names)
        for j, b in enumerate(names)
        if (i != j if ordered else i < j) and {a, b} not in _ALIKE
    )


def variants(kind: str) -> tuple[str, ...]:
    """All variants of a kind: lights for scenes, colours for the rest."""
    if kind in OUTDOORS:
        return LIGHTS
    if kind == "room":
        return ROOM_COLORS
    if kind == "starry night sky":
        return SKY_COLORS
    if kind == "plain":
        return tuple(COLORS)
    return _pairs(ordered=kind in ("dotted", "gradient"))


VARIANTS: dict[str, tuple[str, ...]] = {kind: variants(kind) for kind in KINDS}
"""Every kind and its possible variants."""


@dataclass(frozen=True)
class Background:
    """A place; ``kind`` is one of ``KINDS`` and ``variant`` one of ``VARIANTS[kind]``."""

    kind: str
    variant: str

    def __post_init__(self) -> None:
        if self.kind not in VARIANTS:
            raise ValueError(f"kind: {self.kind!r} is not one of {', '.join(KINDS)}")
        if self.variant not in VARIANTS[self.kind]:
            raise ValueError(f"variant: {self.variant!r} is none of {self.kind}'s")

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Background:
        """Draw a kind, then one of its variants, each uniformly."""
        kind = KINDS[int(rng.integers(len(KINDS)))]
        return cls(kind, VARIANTS[kind][int(rng.integers(len(VARIANTS[kind])))])

    def attributes(self) -> dict[str, str]:
        """``kind`` and ``variant``."""
        return {"kind": self.kind, "variant": self.variant}

    def prompt(self) -> str:
        """Say the background in plain words, such as "on a beach at sunset"."""
        if self.kind in OUTDOORS:
            return f"{OUTDOORS[self.kind]} {self.variant}"
        if self.kind == "room":
            return f"in a room with {self.variant} walls"
        if self.kind == "starry night sky":
            return f"under {article(self.variant)} starry night sky"
        return PATTERNS[self.kind].format(*self.variant.split(" and "))

    def draw(self, rng: np.random.Generator, canvas_size: int) -> Image.Image:
        """Draw the background; ``rng`` varies the layout a little.

        Args:
            rng: Source of the layout; the same state gives the same picture at any size.
            canvas_size: Side in pixels.

        Returns:
            RGB picture of ``canvas_size`` x ``canvas_size`` pixels.
        """
        if self.kind in OUTDOORS or self.kind == "room":
            return draw_scene(self.kind, self.variant, rng, canvas_size)
        return draw_pattern(self.kind, self.variant.split(" and "), rng, canvas_size)
