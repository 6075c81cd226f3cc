"""Identities, backgrounds and banks: what is said of them."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyworld.world import KINDS, Background, Identity, background_bank, subject_bank
from tinyworld.world.background import VARIANTS
from tinyworld.world.identity import CHOICES
from tinyworld.world.palette import CLOTHING, COLORS, HAIR, MAX_JITTER, SKIN, jitter

seeds = st.integers(0, 2**31)


def sampled(seed: int) -> Identity:
    return Identity.sample(np.random.default_rng(seed))


def test_prompt_reads_as_documented() -> None:
    one = Identity("dark", "long", "black", "cap", "red", "blue", "striped", "trousers", "green", "broad")
    assert one.prompt() == (
        "a broad-built person with dark skin and long black hair, "
        "wearing a red cap, a blue striped shirt and green trousers"
    )
    two = Identity("light", "bald", "none", "none", "none", "orange", "plain", "skirt", "pink", "slim")
    assert two.prompt() == (
        "a slim-built person with light skin and a bald head, wearing a plain orange shirt and a pink skirt"
    )


@pytest.mark.parametrize(
    ("drop", "text"),
    [
        ({"shirt_color"}, "a striped shirt"),
        ({"shirt_pattern"}, "a blue shirt"),
        ({"hat_color"}, "a cap"),
        ({"hair_style"}, "and black hair"),
        ({"hair_color"}, "and long hair"),
        ({"skin"}, "person with long black hair"),
        ({"skin", "hair_style", "hair_color"}, "person wearing a red cap"),
        ({"build"}, "a person with dark skin"),
        (set(CHOICES), "a person"),
    ],
)
def test_dropping(drop: set[str], text: str) -> None:
    one = Identity("dark", "long", "black", "cap", "red", "blue", "striped", "trousers", "green", "broad")
    assert text in one.prompt(drop)
    if drop == set(CHOICES):
        assert one.prompt(drop) == "a person"


@settings(max_examples=200, deadline=None)
@given(seeds, st.sets(st.sampled_from(sorted(CHOICES))))
def test_prompt_says_all_and_only_what_is_kept(seed: int, drop: set[str]) -> None:
    one = sampled(seed)
    words = one.prompt().replace(",", "").replace("-", " ").split()
    for value in one.attributes().values():
        assert value == "none" or value in words
    short = one.prompt(drop)
    assert "  " not in short
    assert "none" not in short
    assert " ," not in short
    assert short.startswith(("a ", "an "))
    for name in {"skin", "build"} & drop:
        assert f"{one.attributes()[name]}{'-built' if name == 'build' else ' skin'}" not in short


@settings(max_examples=100, deadline=None)
@given(seeds, seeds)
def test_different_identities_have_different_prompts(a: int, b: int) -> None:
    one, two = sampled(a), sampled(b)
    assert (one == two) == (one.prompt() == two.prompt())
    assert one.shirt_color != one.bottom_color


@pytest.mark.parametrize(
    "change",
    [
        {"shirt_color": "mauve"},
        {"bottom_color": "blue"},
        {"hat_color": "none"},
        {"hair_color": "none"},
    ],
)
def test_wrong_identities_are_refused(change: dict[str, str]) -> None:
    good = Identity("tan", "short", "red", "cap", "red", "blue", "plain", "shorts", "green", "slim")
    with pytest.raises(ValueError, match=r"colou?r"):
        Identity(**{**good.attributes(), **change})


def test_backgrounds() -> None:
    assert len(KINDS) == 14
    every = [Background(kind, variant) for kind in KINDS for variant in VARIANTS[kind]]
    assert len({b.prompt() for b in every}) == len(every)
    assert Background("beach", "at sunset").prompt() == "on a beach at sunset"
    assert Background("striped", "red and blue").prompt() == "before a wall with red and blue stripes"
    assert Background("starry night sky", "blue").prompt() == "under a blue starry night sky"
    with pytest.raises(ValueError, match="variant"):
        Background("beach", "red and blue")
    with pytest.raises(ValueError, match="kind"):
        Background("moon", "by day")


def test_background_kinds_differ_and_layouts_vary() -> None:
    for kind in KINDS:
        place = Background(kind, VARIANTS[kind][0])
        shots = [place.draw(np.random.default_rng(s), 64).tobytes() for s in (1, 1, 2)]
        assert shots[0] == shots[1]
        assert kind == "gradient" or shots[0] != shots[2]


def test_subject_bank() -> None:
    bank = subject_bank()
    assert [e["id"] for e in bank] == [f"subject-{i:03d}" for i in range(100)]
    assert bank == subject_bank() != subject_bank(seed=1)
    for a, b in combinations(bank, 2):
        pairs = zip(a["attributes"].values(), b["attributes"].values(), strict=True)
        assert sum(x != y for x, y in pairs) >= 3
    for entry in bank:
        assert Identity(**entry["attributes"]).prompt() == entry["prompt"]
    for field in ("shirt_color", "bottom_color"):
        counts = Counter(e["attributes"][field] for e in bank)
        assert set(counts) == set(CLOTHING)
        assert set(counts.values()) == {10}


def test_background_bank() -> None:
    bank = background_bank()
    assert len(bank) == 60
    assert bank == background_bank()
    assert len({e["prompt"] for e in bank}) == 60
    counts = Counter(e["attributes"]["kind"] for e in bank)
    assert set(counts) == set(KINDS)
    assert set(counts.values()) == {4, 5}
    for entry in bank:
        assert Background(**entry["attributes"]).prompt() == entry["prompt"]
    with pytest.raises(ValueError, match="only"):
        background_bank(10_000)


def test_palette_is_well_separated() -> None:
    for table in (COLORS, SKIN, HAIR):
        for a, b in combinations(table.values(), 2):
            assert sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) ** 0.5 > 45
    rng = np.random.default_rng(0)
    for color in COLORS.values():
        moved = jitter(color, rng)
        assert max(abs(x - y) for x, y in zip(color, moved, strict=True)) <= MAX_JITTER
