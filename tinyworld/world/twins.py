"""Near twins: subjects that differ from another one in a single attribute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

import numpy as np

from .banks import MIN_DIFFERENCES, Entry
from .identity import CHOICES, Identity

TWIN_ATTRIBUTES = tuple(CHOICES)
"""What a twin may differ in, all about equally often."""


def near_twins(entries: Sequence[Entry], originals: Sequence[Entry], seed: int = 0) -> list[Entry]:
    """A near twin of each of some entries; it differs in the attribute that the fewest twins so far differ in.

    Args:
        entries: The bank so far. A twin differs from every one but its original, and from every other twin, in at
            least :data:`MIN_DIFFERENCES` attributes.
        originals: Those entries that get a twin.
        seed: Settles the twins.

    Returns:
        Entries named after their originals and the attribute: "subject-007-twin-skin".

    Raises:
        ValueError: An original has no twin that is far enough from the others.
    """
    rng = np.random.default_rng([seed, 300])
    twins: list[Entry] = []
    uses = dict.fromkeys(TWIN_ATTRIBUTES, 0)
    for original in originals:
        others = [entry["attributes"] for entry in chain(entries, twins) if entry["id"] != original["id"]]
        turns = sorted(TWIN_ATTRIBUTES, key=uses.__getitem__)
        candidates = ((name, twin) for name in turns for twin in _twins_in(original, name, rng))
        far = (one for one in candidates if all(_differences(one[1], other) >= MIN_DIFFERENCES for other in others))
        name, attributes = next(far, ("", {}))
        if not name:
            raise ValueError(f"{original['id']}: no twin differs from all others in {MIN_DIFFERENCES} attributes")
        uses[name] += 1
        prompt = Identity(**attributes).prompt()
        twins.append(Entry(id=f"{original['id']}-twin-{name}", prompt=prompt, attributes=attributes))
    return twins


def _differences(one: dict[str, str], other: dict[str, str]) -> int:
    return sum(one[name] != other[name] for name in one)


def _twins_in(original: Entry, name: str, rng: np.random.Generator) -> list[dict[str, str]]:
    """All twins that differ in one attribute, shuffled; none where it cannot change alone (a bald head's hair)."""
    looks = Identity(**original["attributes"])
    found = []
    for value in rng.permutation([value for value in CHOICES[name] if value != getattr(looks, name)]):
        try:
            found.append(replace(looks, **{name: str(value)}).attributes())
        except ValueError:
            continue
    return found
