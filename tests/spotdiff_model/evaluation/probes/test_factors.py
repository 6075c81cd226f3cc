"""Reading the judged rows from a manifest."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from pipeline import banks
from pipeline.config import UserError
from pipeline.manifest.read import Manifest
from spotdiff_model.evaluation.probes.factors import read_sample


def test_a_split_is_read_with_its_factors_and_pictures(rendered):
    sample = read_sample(str(rendered), "test")
    assert len(sample) == 16
    assert len(set(sample.factors.pose)) == 1
    assert len(set(sample.factors.subject)) == len(set(sample.factors.background)) == 4
    assert sample.factors.keypoints.shape == (16, 18, 3)
    assert Image.open(io.BytesIO(sample.images[0])).size == (64, 64)
    assert Image.open(io.BytesIO(sample.masks[0])).mode == "L"
    bank = {entry.id: entry for entry in banks.load("tiny_subjects.json").entries}
    for row, subject in enumerate(sample.factors.subject):
        assert sample.subject_prompts[row] == bank[subject].prompt
        assert sample.factors.attributes["shirt_color"][row] == bank[subject].attributes["shirt_color"]


def test_rows_stay_aligned_when_only_some_are_drawn(rendered):
    truth = {}
    for batch in Manifest(str(rendered)).batches():
        for row in batch.to_pylist():
            truth[row["image"]["bytes"]] = (row["subject_id"], row["pose_id"], row["background_id"])
    sample = read_sample(str(rendered), "train", max_rows=20, seed=3)
    assert len(sample) == 20
    found = zip(sample.factors.subject, sample.factors.pose, sample.factors.background, strict=True)
    assert [truth[image] for image in sample.images] == list(found)
    again, other = (read_sample(str(rendered), "train", max_rows=20, seed=seed) for seed in (3, 4))
    assert again.images == sample.images != other.images


def test_rows_of_factors_are_picked_together(rendered):
    factors = read_sample(str(rendered), "train").factors
    some = factors[np.array([5, 1])]
    assert list(some.subject) == [factors.subject[5], factors.subject[1]]
    assert list(some.attributes["hat"]) == [factors.attributes["hat"][5], factors.attributes["hat"][1]]


def test_mistakes_are_told_in_a_line(rendered):
    with pytest.raises(UserError, match="--split 'all': must be one of"):
        read_sample(str(rendered), "all")
    with pytest.raises(UserError, match=r"no such file"):
        read_sample(str(rendered.parent / "none.parquet"), "test")
