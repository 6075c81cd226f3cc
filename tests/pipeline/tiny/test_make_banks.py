"""The shipped banks are what the program makes, and large enough for every split."""

import json

import pytest

from pipeline import prompts
from pipeline.config import PROFILES, load_profile
from pipeline.tiny.make_banks import banks, main


def test_shipped_banks_are_what_the_program_writes(tmp_path):
    main(tmp_path)
    for name in banks():
        assert (tmp_path / name).read_bytes() == (PROFILES / name).read_bytes()


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_every_split_can_serve_the_default_build(split):
    profile = load_profile("tiny")
    for name in (profile.subject_bank, profile.background_bank):
        assert len(prompts.load(name).part(split)) >= 10


def test_ids_and_prompts_are_unique():
    for entries in banks().values():
        assert len({entry["id"] for entry in entries}) == len({entry["prompt"] for entry in entries}) == len(entries)
        assert json.loads(json.dumps(entries)) == entries
