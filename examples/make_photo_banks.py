"""Makes the banks for photographs, ``pipeline/profiles/photo_subjects.json`` and ``photo_backgrounds.json``.

::

    python examples/make_photo_banks.py

Subjects: sex or none said, skin and age are crossed, each combination twice, and dealt out to the splits in equal
shares; all other attributes go round shuffled lists, so that each value is about as frequent as the next. Some have a
*near twin*, which differs in one attribute: the twin of ``photo-007`` in the colour of its top is
``photo-007-twin-top_color``, in the same split. Backgrounds: a held-out split has places that training never sees.

All words are our own (``photo_words.py``), so the banks are as free as the code.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import photo_words as words

from pipeline.config import PROFILES

SPLITS = ("test", "test", "validation", "validation", *["train"] * 8)
"""Of the twelve subjects that share sex and skin; of each twelve backgrounds' places, too."""
TWINS = {"train": 60, "validation": 10, "test": 10}
TWIN_ATTRIBUTES = ("top_color", "hair_color", "skin", "age", "build", "bottom_color", "accessory", "who")
SUBJECT_SEED = 7
"""With it any two subjects that are no twins differ in four attributes at least; seed 0 has two that differ in two."""
Attributes = dict[str, str]
Entry = dict[str, Any]


class Deck:
    """Deals values in shuffled rounds: after any number of them none is more than one round ahead of another."""

    def __init__(self, values: Sequence[Any], rng: np.random.Generator) -> None:
        self.values, self.rng, self.left = list(values), rng, []  # type: ignore[var-annotated]

    def deal(self, *unwanted: Any) -> Any:
        """The next value that is none of ``unwanted``."""
        for _ in range(2):
            for place, value in enumerate(self.left):
                if value not in unwanted:
                    return self.left.pop(place)
            self.left += [self.values[int(place)] for place in self.rng.permutation(len(self.values))]
        raise ValueError(f"nothing but {unwanted} in {self.values}")


def subjects(seed: int = SUBJECT_SEED) -> list[Entry]:
    """The subject bank."""
    rng = np.random.default_rng([seed, 1])
    groups = product(range(len(words.WHO)), words.SKINS)
    cells = [(words.WHO[who], skin, split) for who, skin in groups for split in rng.permutation(SPLITS)]
    ages = list(words.AGES) * 2
    people = [(cell, ages[place % len(ages)]) for place, cell in enumerate(cells)]
    order = rng.permutation(len(people))
    dress = _dressing(rng)
    entries = []
    for number, place in enumerate(order):
        (who, skin, split), age = people[int(place)]
        attributes = {"who": who, "age": age, "skin": skin, **next(dress)}
        entries.append(_entry(f"photo-{number:03d}", subject_prompt(attributes), attributes, str(split)))
    return entries + list(_twins(entries, rng))


def _dressing(rng: np.random.Generator) -> Iterator[Attributes]:
    """Build, hair and clothes for one after the other; every third one has a role."""
    names = ("BUILDS", "HAIR", "HAIR_COLORS", "CLOTH_COLORS", "ACCESSORIES", "SHOES", "TOPS", "BOTTOMS")
    deck = {name: Deck(getattr(words, name), rng) for name in names}
    bottom_colors, roles = Deck(words.CLOTH_COLORS, rng), Deck(list(words.ROLES), rng)
    role_colors = {role: Deck(outfit.colors, rng) for role, outfit in words.ROLES.items()}
    number = 0
    while True:
        hair = deck["HAIR"].deal()
        color = {"a shaved head": "none"}.get(hair) or deck[
            "CLOTH_COLORS" if hair in ("a headscarf", "a turban") else "HAIR_COLORS"
        ].deal()
        looks = {"build": deck["BUILDS"].deal(), "hair": hair, "hair_color": color}
        if number % 3 == 2:
            role = roles.deal()
            outfit = words.ROLES[role]
            clothes = {
                "role": role,
                "top": outfit.top,
                "top_color": role_colors[role].deal(),
                "bottom": outfit.bottom,
                "bottom_color": outfit.bottom_color,
                "shoes": outfit.shoes,
                "accessory": "none",
            }
        else:
            top_color = deck["CLOTH_COLORS"].deal()
            clothes = {
                "role": "none",
                "top": deck["TOPS"].deal(),
                "top_color": top_color,
                "bottom": deck["BOTTOMS"].deal(),
                "bottom_color": bottom_colors.deal(top_color),
                "shoes": deck["SHOES"].deal(),
                "accessory": deck["ACCESSORIES"].deal(),
            }
        yield {**looks, **clothes}
        number += 1


def _twins(entries: Sequence[Entry], rng: np.random.Generator) -> Iterator[Entry]:
    """Near twins of some entries, in their splits; which attribute differs goes round."""
    attribute = Deck(TWIN_ATTRIBUTES, rng)
    values = {
        "top_color": words.CLOTH_COLORS,
        "bottom_color": words.CLOTH_COLORS,
        "hair_color": words.HAIR_COLORS,
        "skin": words.SKINS,
        "age": words.AGES,
        "build": words.BUILDS,
        "accessory": ("none", *words.ACCESSORIES[2:]),
        "who": ("woman", "man"),
    }
    deck = {name: Deck(some, rng) for name, some in values.items()}
    for split, count in TWINS.items():
        # what a role wears is settled, and a head without hair has no colour: their twins would be odd
        able = [e for e in entries if e["split"] == split and e["attributes"]["role"] == "none"]
        able = [e for e in able if not e["attributes"]["hair"].startswith("a ")]
        for place in rng.permutation(len(able))[:count]:
            one, name = able[int(place)], attribute.deal()
            attributes = {**one["attributes"], name: deck[name].deal(one["attributes"][name])}
            yield _entry(f"{one['id']}-twin-{name}", subject_prompt(attributes), attributes, split)


def subject_prompt(attributes: Attributes) -> str:
    """What the text encoder is told of a subject."""
    a = attributes
    looks = f"{_with_article(a['build'])} {a['who']} in {_POSSESSIVE[a['who']]} {a['age']} with {a['skin']} skin and "
    looks += _hair(a["hair"], a["hair_color"])
    role = "" if a["role"] == "none" else f", {_with_article(a['role'])}"
    bottom = f"{a['bottom_color']} {a['bottom']}"
    bottom = _with_article(bottom) if a["bottom"] in words.SKIRTS else bottom
    extra = "" if a["accessory"] == "none" else f", with {a['accessory']}"
    return f"{looks}{role}, wearing {_with_article(a['top_color'])} {a['top']}, {bottom} and {a['shoes']}{extra}"


_POSSESSIVE = {"woman": "her", "man": "his", "person": "their"}


def _hair(hair: str, color: str) -> str:
    if hair == "a shaved head":
        return hair
    if hair.startswith("a "):
        return f"{_with_article(color)} {hair.removeprefix('a ')}"
    return f"{hair} {color} hair"


def _with_article(words_: str) -> str:
    return f"{'an' if words_[0] in 'aeiou' else 'a'} {words_}"


def backgrounds(seed: int = 0) -> list[Entry]:
    """The background bank: each place twice, in another light and season."""
    rng = np.random.default_rng([seed, 2])
    outdoor, indoor, season = (Deck(v, rng) for v in (words.OUTDOOR_LIGHT, words.INDOOR_LIGHT, words.SEASONS))
    entries: list[Entry] = []
    for places, setting, light in (
        (words.ALL_YEAR, "outdoor", outdoor),
        (words.DRY, "outdoor", outdoor),
        (words.INDOOR, "indoor", indoor),
    ):
        splits = Deck(SPLITS, rng)
        for place in places:
            split = str(splits.deal())
            taken: dict[str, list[str]] = {"light": [], "season": []}
            for _ in range(2):
                taken["light"].append(light.deal(*taken["light"]))
                taken["season"].append(season.deal(*taken["season"]) if places is words.ALL_YEAR else "none")
                attributes = {
                    "place": place,
                    "setting": setting,
                    "light": taken["light"][-1],
                    "season": taken["season"][-1].removeprefix("in "),
                }
                parts = [place, "" if places is not words.ALL_YEAR else taken["season"][-1]]
                prompt = f"{' '.join(part for part in parts if part)}, {attributes['light']}"
                entries.append(_entry(f"place-{len(entries):03d}", prompt, attributes, split))
    return entries


def _entry(id_: str, prompt: str, attributes: Attributes, split: str) -> Entry:
    return {"id": id_, "prompt": prompt, "attributes": attributes, "split": split}


def main(folder: Path = PROFILES) -> None:
    """Writes both banks."""
    for name, entries in (("photo_subjects.json", subjects()), ("photo_backgrounds.json", backgrounds())):
        lines = ",\n".join(json.dumps(entry) for entry in entries)
        (folder / name).write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
