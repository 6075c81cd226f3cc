"""The banks for photographs: what the program writes, balanced over attributes, with named near twins."""

from __future__ import annotations

import re
import sys
from collections import Counter
from itertools import combinations
from pathlib import Path
from types import ModuleType

import pytest

from pipeline import banks
from pipeline.banks import BankEntry
from pipeline.config import PROFILES

SUBJECTS, BACKGROUNDS = (banks.load(f"photo_{kind}.json") for kind in ("subjects", "backgrounds"))
BASE = [entry for entry in SUBJECTS.entries if "-twin-" not in entry.id]
TWINS = [entry for entry in SUBJECTS.entries if "-twin-" in entry.id]
PEOPLE = r"\b(person|people|man|men|woman|women|child|children|crowd\w*|boy|girl|passers?-?by|audience|players?)\b"


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parents[2] / "examples"), *sys.path])
    import make_photo_banks

    return make_photo_banks


def test_shipped_banks_are_what_the_program_writes(program: ModuleType, tmp_path: Path) -> None:
    program.main(tmp_path)
    for name in ("photo_subjects.json", "photo_backgrounds.json"):
        assert (tmp_path / name).read_bytes() == (PROFILES / name).read_bytes()


def test_they_are_large_enough_for_every_split() -> None:
    assert len(SUBJECTS.entries) >= 400
    assert len(BACKGROUNDS.entries) >= 150
    assert len(SUBJECTS.part("test")) >= 60
    for bank in (SUBJECTS, BACKGROUNDS):
        assert min(len(bank.part(split)) for split in ("train", "validation", "test")) >= 20
        assert len({entry.prompt for entry in bank.entries}) == len(bank.entries)


@pytest.mark.parametrize("attribute", ["skin", "age", "build", "hair", "hair_color", "top", "bottom", "shoes"])
def test_attributes_are_balanced(attribute: str) -> None:
    """Skin and age exactly; what is dealt around, to within a fifth of a fair share; all of it in the test split."""
    everyday = [entry for entry in BASE if entry.attributes["role"] == "none"]
    some = everyday if attribute in ("top", "bottom", "shoes") else BASE
    counts = Counter(
        entry.attributes[attribute]
        for entry in some
        if attribute != "hair_color" or not str(entry.attributes["hair"]).startswith("a ")
    )
    fair = counts.total() / len(counts)
    assert max(counts.values()) - min(counts.values()) <= (0 if attribute in ("skin", "age") else max(2, fair / 5))
    if attribute in ("skin", "age", "build", "hair"):
        held_out = {entry.attributes[attribute] for entry in BASE if entry.split == "test"}
        assert held_out == set(counts)


def test_women_and_men_are_alike_in_every_split_skin_and_age() -> None:
    for split in ("train", "validation", "test"):
        for skin in {entry.attributes["skin"] for entry in BASE}:
            some = [e for e in BASE if e.split == split and e.attributes["skin"] == skin]
            who = Counter(entry.attributes["who"] for entry in some)
            assert who["woman"] == who["man"] == 2 * who["person"] > 0
    crossed = Counter((e.attributes["who"], e.attributes["skin"], e.attributes["age"]) for e in BASE)
    assert len(crossed) == 3 * 6 * 6
    assert {count for (who, *_), count in crossed.items() if who == "woman"} == {4}
    roles = Counter(entry.attributes["role"] for entry in BASE)
    assert max(roles[r] for r in roles if r != "none") - min(roles.values()) <= 1


def test_subjects_differ_and_twins_differ_in_one_named_attribute() -> None:
    assert min(map(_differences, *zip(*combinations(BASE, 2), strict=True))) >= 4
    known = {entry.id: entry for entry in BASE}
    assert len(TWINS) >= 60
    for twin in TWINS:
        origin, attribute = twin.id.split("-twin-")
        assert _different(known[origin], twin) == {attribute}
        assert known[origin].split == twin.split
        assert known[origin].prompt != twin.prompt
    assert len({twin.id.split("-twin-")[1] for twin in TWINS}) == 8


def test_backgrounds_name_nobody_and_hold_out_places() -> None:
    for entry in BACKGROUNDS.entries:
        assert not re.search(PEOPLE, entry.prompt), entry.prompt
    split_of = {entry.attributes["place"]: entry.split for entry in BACKGROUNDS.entries}
    assert all(split_of[entry.attributes["place"]] == entry.split for entry in BACKGROUNDS.entries)
    for name, least in (("place", 90), ("light", 10), ("season", 5)):
        assert len({entry.attributes[name] for entry in BACKGROUNDS.entries}) >= least


@pytest.mark.parametrize("entry", [max(b.entries, key=lambda e: len(e.prompt)) for b in (SUBJECTS, BACKGROUNDS)])
def test_the_longest_prompts_leave_room_for_a_template(entry: BankEntry) -> None:
    """CLIP's own vocabulary makes 44 tokens of the longest one, 1.5 a word at most; builds count with the real one."""
    assert 1.5 * len(re.findall(r"\w+|[^\w\s]", entry.prompt)) <= 60


def test_adults_only_and_no_word_stands_twice_in_a_row() -> None:
    for entry in SUBJECTS.entries:
        assert re.search(r"in (her|his|their) (twen|thir|for|fif|six|seven)ties", entry.prompt)
        assert not re.search(r"\b(\w+) \1\b|\ba [aeiou]|\ban [^aeiou]", entry.prompt), entry.prompt


def _different(one: BankEntry, other: BankEntry) -> set[str]:
    return {name for name in one.attributes if one.attributes[name] != other.attributes[name]}


def _differences(one: BankEntry, other: BankEntry) -> int:
    return len(_different(one, other))
