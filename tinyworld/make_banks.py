"""``python -m tinyworld.make_banks``: writes the tiny profile's subject and background banks.

The banks are data; this is how they were made. Their sizes are such that, at 100 sources with 10 x 10 variations, a
training identity recurs in about two poses, a held-out one in about four, and each background in many sources. An
encoder learns from many identities to tell those that it has never seen; 80 were too few. Results are averages over
held-out subjects, and ten of them cannot tell .06; half of those here are near twins of the other half, which a judge
has to tell apart by one attribute. Training has none: a build rarely draws both of a pair for one source.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config import PROFILES
from tinyworld.world.banks import background_bank, subject_bank
from tinyworld.world.twins import near_twins

SUBJECTS = {"train": 80, "validation": 10, "test": 10}
MORE_SUBJECTS = {"train": 240, "validation": 5, "test": 20}
"""Further ones; they stand after the others, whose splits they leave alone."""
TWINS = ("validation", "test")
"""Splits of which every subject gets a near twin; these stand last."""
BACKGROUNDS = {"train": 40, "validation": 10, "test": 10}


def with_splits(entries: Sequence[Any], parts: dict[str, int], seed: int = 0) -> list[dict[str, Any]]:
    """The entries with a split each, drawn by seed; they stay in their order."""
    names = np.repeat(list(parts), list(parts.values()))
    drawn = np.random.default_rng(seed).permutation(names)
    return [{**entry, "split": str(split)} for entry, split in zip(entries, drawn, strict=True)]


def banks() -> dict[str, list[dict[str, Any]]]:
    """Both banks by file name."""
    return {
        "tiny_subjects.json": subjects(),
        "tiny_backgrounds.json": with_splits(background_bank(sum(BACKGROUNDS.values())), BACKGROUNDS),
    }


def subjects() -> list[dict[str, Any]]:
    """The subject bank: 320 for training, 30 for validation, 60 for tests."""
    first = sum(SUBJECTS.values())
    drawn = subject_bank(first + sum(MORE_SUBJECTS.values()))
    further = np.repeat(list(MORE_SUBJECTS), list(MORE_SUBJECTS.values()))
    entries = with_splits(drawn[:first], SUBJECTS)
    entries += [{**entry, "split": str(split)} for entry, split in zip(drawn[first:], further, strict=True)]
    splits = {entry["id"]: entry["split"] for entry in entries if entry["split"] in TWINS}
    originals = [entry for entry in drawn if entry["id"] in splits]
    twins = near_twins(drawn, originals)
    pairs = zip(twins, originals, strict=True)
    return entries + [{**twin, "split": splits[original["id"]]} for twin, original in pairs]


def main(folder: Path = PROFILES) -> None:
    for name, entries in banks().items():
        lines = ",\n".join(json.dumps(entry) for entry in entries)
        (folder / name).write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
