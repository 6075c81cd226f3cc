"""``python -m tinyworld.make_banks``: writes the tiny profile's subject and background banks.

The banks are data; this is how they were made. Their sizes are such that, at 100 sources with 10 x 10 variations, a
training identity recurs in two or three poses, a held-out one in about ten, and each background in many sources. An
encoder learns from many identities to tell those that it has never seen; 80 were too few.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config import PROFILES
from tinyworld.world.banks import background_bank, subject_bank

SUBJECTS = {"train": 80, "validation": 10, "test": 10}
MORE_SUBJECTS = 240
"""Further ones, all for training; they stand after the others, whose draws they leave alone."""
BACKGROUNDS = {"train": 40, "validation": 10, "test": 10}


def with_splits(entries: Sequence[Any], parts: dict[str, int], seed: int = 0) -> list[dict[str, Any]]:
    """The entries with a split each, drawn by seed; they stay in their order."""
    names = np.repeat(list(parts), list(parts.values()))
    drawn = np.random.default_rng(seed).permutation(names)
    return [{**entry, "split": str(split)} for entry, split in zip(entries, drawn, strict=True)]


def banks() -> dict[str, list[dict[str, Any]]]:
    """Both banks by file name."""
    first = sum(SUBJECTS.values())
    subjects = subject_bank(first + MORE_SUBJECTS)
    return {
        "tiny_subjects.json": [
            *with_splits(subjects[:first], SUBJECTS),
            *({**entry, "split": "train"} for entry in subjects[first:]),
        ],
        "tiny_backgrounds.json": with_splits(background_bank(sum(BACKGROUNDS.values())), BACKGROUNDS),
    }


def main(folder: Path = PROFILES) -> None:
    for name, entries in banks().items():
        lines = ",\n".join(json.dumps(entry) for entry in entries)
        (folder / name).write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
