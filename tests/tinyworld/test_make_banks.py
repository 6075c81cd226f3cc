"""The shipped banks are what the program makes, and large enough for every split."""

import json

import pytest

from pipeline import banks
from pipeline.config import PROFILES, load_profile
from tinyworld import make_banks


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
