"""The shipped banks are what the program makes, and large enough for every split."""

import json
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest

from pipeline import banks
from pipeline.config import PROFILES, load_profile
from tinyworld import make_banks
from tinyworld.world.identity import CHOICES

PROTOCOL = Path(__file__).parents[2] / "benchmarks" / "paper" / "protocol.toml"


def test_shipped_banks_are_what_the_program_writes(tmp_path):
    make_banks.main(tmp_path)
    for name in make_banks.banks():
        assert (tmp_path / name).read_bytes() == (PROFILES / name).read_bytes()


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_every_split_can_serve_the_default_build(split):
    profile = load_profile("tiny")
    for name in (profile.subject_bank, profile.background_bank):
        assert len(banks.load(name).part(split)) >= 10


def test_ids_and_prompts_are_unique():
    for entries in make_banks.banks().values():
        assert len({entry["id"] for entry in entries}) == len({entry["prompt"] for entry in entries}) == len(entries)
        assert json.loads(json.dumps(entries)) == entries


def test_held_out_subjects_are_many_and_half_of_them_near_twins_of_the_others():
    entries = make_banks.subjects()
    assert Counter(entry["split"] for entry in entries) == {"train": 320, "validation": 30, "test": 60}
    looks = {entry["id"]: entry["attributes"] for entry in entries}
    split = {entry["id"]: entry["split"] for entry in entries}
    pairs = {name: name.split("-twin-")[0] for name in looks if "-twin-" in name}
    assert Counter(split[twin] for twin in pairs) == {"validation": 15, "test": 30}
    for twin, original in pairs.items():
        differing = [name for name, value in looks[twin].items() if value != looks[original][name]]
        assert differing == [twin.split("-twin-")[1]]
        assert split[twin] == split[original]
    assert {twin.split("-twin-")[1] for twin in pairs if split[twin] == "test"} == set(CHOICES)
    for one, other in combinations(looks, 2):
        if pairs.get(one) != other and pairs.get(other) != one:
            assert sum(looks[one][name] != looks[other][name] for name in CHOICES) >= 3, f"{one}, {other}"


def test_the_protocol_holds_out_a_quarter_of_the_sources_for_tests():
    protocol, tiny = load_profile(str(PROTOCOL)), load_profile("tiny")
    assert (protocol.splits.validation, protocol.splits.test) == (0.1, 0.25)
    rest = {"name", "description", "splits"}
    assert protocol.model_dump(exclude=rest) == tiny.model_dump(exclude=rest)
