"""Conditions on columns: what they select, and what is said of those that cannot be read."""

from __future__ import annotations

import pyarrow as pa
import pytest

from pipeline.config import UserError
from pipeline.manifest.where import condition, fitting

ROWS = pa.RecordBatch.from_pylist(
    [
        {"score": 0.1, "split": "train", "seed": 1, "nsfw": None},
        {"score": 0.5, "split": "test", "seed": 2, "nsfw": False},
        {"score": 0.9, "split": "it's", "seed": 3, "nsfw": True},
    ]
)


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("score > .4", [2, 3]),
        ("score >= 0.5 and score < 9e-1", [2]),
        ("split = 'train' or split == \"test\"", [1, 2]),
        ("split in ('train', 'test')", [1, 2]),
        ("split not in ('train', 'test')", [3]),
        ("split != 'it''s'", [1, 2]),
        ("not (seed <= 1 or seed = 3)", [2]),
        ("not seed = 1 and seed <> 3", [2]),
        ("seed = 1 or seed = 2 and score > 5", [1]),
        ("nsfw is null", [1]),
        ("nsfw IS NOT NULL AND seed > -1", [2, 3]),
        ("nsfw", [3]),
        ("nsfw = false", [2]),
        ("seed in (3)", [3]),
    ],
)
def test_selects(text: str, seeds: list[int]) -> None:
    assert fitting(ROWS, condition(text, ROWS.schema.names)).column("seed").to_pylist() == seeds


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the end where a column is due"),
        ("score >", "the end where a number or a text in quotes is due"),
        ("score > .4 seed", "'seed' where 'and', 'or' or the end is due"),
        ("(score > .4", "the end where ')' is due"),
        ("colour = 'red'", "no column 'colour'; there are score, split, seed, nsfw"),
        ("split = train", "'train' where a number or a text in quotes is due"),
        ("split in 'train'", "\"'train'\" where '(' is due"),
        ("__import__('os')", "no column '__import__'"),
        ("score > .4; drop", "cannot read '; drop'"),
        ("split is 3", "'3' where 'null' is due"),
        ("4 < score", "'4' where a column is due"),
    ],
)
def test_says_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        condition(text, ROWS.schema.names)
    assert said in str(error.value)


def test_what_cannot_be_compared() -> None:
    with pytest.raises(UserError, match="--where: "):
        fitting(ROWS, condition("split > 3", ROWS.schema.names))
