"""Banks: loading, parts, drawing."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import banks
from pipeline.config import UserError

ENTRIES = [
    {"id": f"{split}-{n}", "prompt": f"prompt {split} {n}", "attributes": {"n": n}, "split": split}
    for split, count in (("train", 20), ("validation", 5), ("test", 4))
    for n in range(count)
]


@pytest.fixture
def bank(tmp_path: Path) -> banks.Bank:
    path = tmp_path / "bank.json"
    path.write_text(json.dumps(ENTRIES))
    return banks.load(str(path))


def test_load_keeps_all_and_their_order(bank: banks.Bank) -> None:
    assert [entry.id for entry in bank.entries] == [entry["id"] for entry in ENTRIES]
    assert bank.entries[0].attributes == {"n": 0}
    assert bank.name == "bank.json"


def test_draw_is_without_replacement_and_from_the_split_alone(bank: banks.Bank) -> None:
    drawn = bank.draw("test", 4, "abc", 0)
    assert {entry.id for entry in drawn} == {"test-0", "test-1", "test-2", "test-3"}
    assert {entry.split for entry in bank.draw("train", 20, "abc", 0)} == {"train"}


@given(st.text(max_size=16), st.integers(0, 99), st.integers(0, 19))
def test_a_larger_draw_begins_with_the_smaller(source: str, seed: int, count: int) -> None:
    bank = banks.Bank(name="b", entries=tuple(banks.BankEntry.model_validate(entry) for entry in ENTRIES))
    larger = bank.draw("train", count + 1, source, seed)
    assert bank.draw("train", count, source, seed) == larger[:count]
    assert len({entry.id for entry in larger}) == count + 1


def test_draws_follow_source_and_seed_and_are_even(bank: banks.Bank) -> None:
    draws = [tuple(entry.id for entry in bank.draw("train", 5, f"{n:016x}", 0)) for n in range(400)]
    assert len(set(draws)) > 390
    uses = Counter(name for draw in draws for name in draw)
    assert len(uses) == 20
    assert all(60 <= count <= 145 for count in uses.values())  # 100 expected, 5 standard deviations
    assert bank.draw("train", 5, "a", 0) != bank.draw("train", 5, "a", 1)


def test_a_new_entry_leaves_most_draws_alone(bank: banks.Bank) -> None:
    extra = banks.BankEntry(id="new", prompt="new", split="train")
    larger = banks.Bank(name="larger", entries=(extra, *bank.entries))
    for n in range(50):
        before = {entry.id for entry in bank.draw("train", 5, str(n), 0)}
        after = {entry.id for entry in larger.draw("train", 5, str(n), 0)}
        assert len(before - after) <= 1
        assert after - before <= {"new"}


def test_too_many_asked_says_how_many_there_are(bank: banks.Bank) -> None:
    with pytest.raises(UserError, match=r"bank\.json: its validation part holds 5 entries, 6 were asked for"):
        bank.draw("validation", 6, "abc", 0)


def test_digest_follows_content(bank: banks.Bank, tmp_path: Path) -> None:
    changed = [dict(entry) for entry in ENTRIES]
    changed[3]["prompt"] = "another"
    path = tmp_path / "other.json"
    path.write_text(json.dumps(changed))
    assert banks.load(str(path)).digest != bank.digest
    path.write_text(json.dumps(ENTRIES, indent=4))
    assert banks.load(str(path)).digest == bank.digest


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ('[{"id": "a", "prompt": "p"}]', r"0\.split"),
        ('[{"id": "a/b", "prompt": "p", "split": "train"}]', r"0\.id"),
        ('[{"id": "a", "prompt": "", "split": "train"}]', r"0\.prompt"),
        ('[{"id": "a", "prompt": "p", "split": "dev"}]', r"0\.split"),
        ('[{"id": "a", "prompt": "p", "split": "train", "promt": "q"}]', r"0\.promt"),
        ('[{"id": "a", "prompt": "p", "split": "train"}, {"id": "a", "prompt": "q", "split": "test"}]', "'a'.*twice"),
    ],
)
def test_faulty_banks_are_refused_by_place(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "faulty.json"
    path.write_text(text)
    with pytest.raises(UserError, match=rf"faulty\.json.*{message}"):
        banks.load(str(path))


def test_a_missing_bank_is_named() -> None:
    with pytest.raises(UserError, match=r"nowhere\.json.*No such file"):
        banks.load("nowhere.json")
