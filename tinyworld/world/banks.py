"""Banks of distinct subjects and backgrounds to build datasets from."""

from __future__ import annotations

from dataclasses import replace
from typing import TypedDict

import numpy as np

from .background import KINDS, VARIANTS, Background
from .identity import Identity
from .palette import CLOTHING

MIN_DIFFERENCES = 3


class Entry(TypedDict):
    """One entry of a bank."""

    id: str
    prompt: str
    attributes: dict[str, str]


def _differences(a: Identity, b: Identity) -> int:
    x, y = a.attributes(), b.attributes()
    return sum(x[k] != y[k] for k in x)


def subject_bank(count: int = 100, seed: int = 0) -> list[Entry]:
    """Draw identities that differ pairwise in at least three attributes.

    Shirt colours and bottom colours each go round the palette, so that all are about
    equally frequent.

    Args:
        count: Number of entries.
        seed: Settles the bank.

    Returns:
        Entries with the ids "subject-000", "subject-001", ...
    """
    rng = np.random.default_rng([seed, 100])
    taken: list[Identity] = []
    colors = len(CLOTHING)
    turn = 0
    while len(taken) < count:
        if len(taken) % colors == 0:
            order = [CLOTHING[int(i)] for i in rng.permutation(colors)]
            turn = int(rng.integers(1, colors))
        k = len(taken) % colors
        for _ in range(500):
            drawn = Identity.sample(rng)
            one = replace(drawn, shirt_color=order[k], bottom_color=_other(order, k, turn))
            if all(_differences(one, other) >= MIN_DIFFERENCES for other in taken):
                taken.append(one)
                break
        else:
            raise ValueError(f"no room for {count} subjects that differ in {MIN_DIFFERENCES} attributes")
    return [
        Entry(id=f"subject-{i:03d}", prompt=one.prompt(), attributes=one.attributes()) for i, one in enumerate(taken)
    ]


def _other(order: list[str], k: int, turn: int) -> str:
    return order[(k + turn) % len(order)]


def background_bank(count: int = 60, seed: int = 0) -> list[Entry]:
    """Draw distinct backgrounds; the kinds take turns as long as they have variants left.

    Args:
        count: Number of entries.
        seed: Settles the bank.

    Returns:
        Entries with the ids "background-000", "background-001", ...
    """
    rng = np.random.default_rng([seed, 200])
    left = {kind: [VARIANTS[kind][int(i)] for i in rng.permutation(len(VARIANTS[kind]))] for kind in KINDS}
    taken: list[Background] = []
    while len(taken) < count:
        open_kinds = [kind for kind in KINDS if left[kind]]
        if not open_kinds:
            raise ValueError(f"there are only {len(taken)} backgrounds, {count} asked for")
        for i in rng.permutation(len(open_kinds)):
            kind = open_kinds[int(i)]
            taken.append(Background(kind, left[kind].pop()))
    return [
        Entry(id=f"background-{i:03d}", prompt=one.prompt(), attributes=one.attributes())
        for i, one in enumerate(taken[:count])
    ]
