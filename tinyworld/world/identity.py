"""Who a figure is: the attributes that stay the same in every pose and place."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields

import numpy as np

from .palette import CLOTHING, HAIR, SKIN

CHOICES: dict[str, tuple[str, ...]] = {
    "skin": tuple(SKIN),
    "hair_style": ("short", "long", "bald"),
    "hair_color": (*HAIR, "none"),
    "hat": ("none", "cap", "beanie", "hat"),
    "hat_color": (*CLOTHING, "none"),
    "shirt_color": CLOTHING,
    "shirt_pattern": ("plain", "striped", "dotted", "checked"),
    "bottom": ("trousers", "shorts", "skirt"),
    "bottom_color": CLOTHING,
    "build": ("slim", "medium", "broad"),
}
"""Every attribute and its possible values."""


def article(phrase: str) -> str:
    """``phrase`` with "a" or "an" before it."""
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def _pick(rng: np.random.Generator, values: tuple[str, ...], p: list[float] | None = None) -> str:
    return values[int(rng.choice(len(values), p=p))]


@dataclass(frozen=True)
class Identity:
    """The looks of one figure; see ``CHOICES`` for the values of each field."""

    skin: str
    hair_style: str
    hair_color: str
    hat: str
    hat_color: str
    shirt_color: str
    shirt_pattern: str
    bottom: str
    bottom_color: str
    build: str

    def __post_init__(self) -> None:
        for name, value in self.attributes().items():
            if value not in CHOICES[name]:
                raise ValueError(f"{name}: {value!r} is not one of {', '.join(CHOICES[name])}")
        if (self.hair_style == "bald") != (self.hair_color == "none"):
            raise ValueError("hair_color must be 'none' for bald heads and for no others")
        if (self.hat == "none") != (self.hat_color == "none"):
            raise ValueError("hat_color must be 'none' without a hat and only then")
        if self.shirt_color == self.bottom_color:
            raise ValueError("shirt and bottom must differ in colour")

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Identity:
        """Draw an identity; clothing colours are uniform, shirt and bottom differ."""
        style = _pick(rng, CHOICES["hair_style"], [0.42, 0.42, 0.16])
        hat = _pick(rng, CHOICES["hat"], [0.4, 0.2, 0.2, 0.2])
        shirt, bottom = (CLOTHING[int(i)] for i in rng.permutation(len(CLOTHING))[:2])
        return cls(
            skin=_pick(rng, CHOICES["skin"]),
            hair_style=style,
            hair_color="none" if style == "bald" else _pick(rng, tuple(HAIR)),
            hat=hat,
            hat_color="none" if hat == "none" else _pick(rng, CLOTHING),
            shirt_color=shirt,
            shirt_pattern=_pick(rng, CHOICES["shirt_pattern"]),
            bottom=_pick(rng, CHOICES["bottom"], [0.45, 0.25, 0.3]),
            bottom_color=bottom,
            build=_pick(rng, CHOICES["build"]),
        )

    def attributes(self) -> dict[str, str]:
        """Field name to value, in the order of the fields."""
        return {f.name: str(getattr(self, f.name)) for f in fields(self)}

    @property
    def pattern_color(self) -> str:
        """Second colour of a patterned shirt: white, or black on white and yellow."""
        return "black" if self.shirt_color in ("white", "yellow") else "white"

    def prompt(self, drop: Collection[str] = ()) -> str:
        """Say the identity in plain words.

        Args:
            drop: Names of attributes to leave out. Without ``hat`` or ``bottom`` the
                garment is left out altogether, without both shirt attributes the shirt is.

        Returns:
            For instance "a slim-built person with dark skin and long black hair, wearing
            a red cap, a blue striped shirt and green trousers".
        """
        a = {k: "" if k in drop or v == "none" else v for k, v in self.attributes().items()}
        text = article(f"{a['build']}-built person") if a["build"] else "a person"
        looks = [f"{a['skin']} skin"] if a["skin"] else []
        if a["hair_style"] == "bald":
            looks.append("a bald head")
        elif a["hair_style"] or a["hair_color"]:
            looks.append(_words(a["hair_style"], a["hair_color"], "hair"))
        wears = [article(_words(a["hat_color"], a["hat"]))] if a["hat"] else []
        plain = a["shirt_pattern"] == "plain"
        if a["shirt_color"] or a["shirt_pattern"]:
            look = ("plain", a["shirt_color"]) if plain else (a["shirt_color"], a["shirt_pattern"])
            wears.append(article(_words(*look, "shirt")))
        if a["bottom"]:
            phrase = _words(a["bottom_color"], a["bottom"])
            wears.append(article(phrase) if a["bottom"] == "skirt" else phrase)
        if looks:
            text += " with " + " and ".join(looks)
        if wears:
            listed = ", ".join(wears[:-1]) + " and " + wears[-1] if wears[1:] else wears[0]
            text += (", wearing " if looks else " wearing ") + listed
        return text


def _words(*words: str) -> str:
    return " ".join(w for w in words if w)
