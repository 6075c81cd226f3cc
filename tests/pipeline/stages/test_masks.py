"""Segmenting subjects: SAM prompted with the pose, its best mask, cleaned."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_rows import pixels, subject
from segment_anything import SamPredictor
from standins import profile

from pipeline.config import MaskSettings, load_profile
from pipeline.imaging.components import clean_mask
from pipeline.models.resolve import Model
from pipeline.models.segmenters.segment_anything import predictor
from pipeline.records import Subject
from pipeline.stages.masks import SegmentSubjects
from tinyworld.world.render import render_seed

SEEDS = range(900_000, 900_024)


@pytest.fixture
def random(standins: Path) -> SegmentSubjects:
    return SegmentSubjects(MaskSettings(), Model(profile(standins).models.sam, str(standins)))


@pytest.fixture
def trained(weights: Path) -> SegmentSubjects:
    made = load_profile("tiny")
    return SegmentSubjects(made.masks, Model(made.models.sam))


def blank(seed: int) -> Subject:
    return subject(seed, mask=None, mask_score=None, mask_area=None)


def test_the_mask_is_sam_s_best_for_keypoints_and_box(random: SegmentSubjects) -> None:
    (row,) = random.process([blank(1)])
    pose = np.asarray(row.keypoints)
    points = pose[pose[:, 2] > 0, :2]
    margin = 0.08 * np.ptp(points, axis=0).max()
    box = np.clip([*(points.min(axis=0) - margin), *(points.max(axis=0) + margin)], 0, 1)
    sam = SamPredictor(predictor(random.sam).model)
    sam.set_image(pixels(row.subject_image).astype(np.uint8))
    masks, scores, _ = sam.predict(points * 64, np.ones(len(points)), box * 64, multimask_output=True)
    expected = clean_mask(masks[scores.argmax()], 0.05, 0.05)
    assert row.mask_score == pytest.approx(scores.max(), abs=1e-5)
    assert ((pixels(row.mask) > 127) == expected).mean() > 0.999
    assert row.mask_area == pytest.approx(expected.mean(), abs=0.001)
    assert {*np.unique(pixels(row.mask))} <= {0, 255}


def test_a_predicted_iou_above_one_is_one(random: SegmentSubjects) -> None:
    bias = predictor(random.sam).model.mask_decoder.iou_prediction_head.layers[-1].bias
    before = bias.detach().clone()
    try:
        bias.data += 5
        (row,) = random.process([blank(1)])
    finally:
        bias.data.copy_(before)
    assert row.mask_score == 1


def test_the_picture_is_encoded_once(random: SegmentSubjects, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = predictor(random.sam).model.image_encoder
    seen, real = [], encoder.forward
    monkeypatch.setattr(encoder, "forward", lambda x: (seen.append(len(x)), real(x))[1])
    rows = random.process([blank(1), blank(2)])
    assert [row.subject_id for row in rows] == ["subject-001", "subject-002"]
    assert seen == [1, 1]


def test_settings_change_with_the_masks(random: SegmentSubjects) -> None:
    before = random.settings()
    assert json.loads(json.dumps(before)) == before
    assert replace(random, masks=MaskSettings(box_margin=0.2)).settings() != before


def test_trained_masks_fit_the_figures(trained: SegmentSubjects) -> None:
    overlaps = []
    for row, seed in zip(trained.process([blank(seed) for seed in SEEDS]), SEEDS, strict=True):
        found, truth = pixels(row.mask) > 127, render_seed(seed).mask
        overlaps.append((found & truth).sum() / (found | truth).sum())
        assert row.mask_area == pytest.approx(found.mean(), abs=1e-6)
    assert np.mean(overlaps) > 0.85
    assert np.mean(np.array(overlaps) > 0.7) > 0.9


def test_the_prompt_says_which_of_two_figures(trained: SegmentSubjects) -> None:
    """Two figures side by side: each one's keypoints give that one's mask."""
    from made_rows import pair

    image, poses, masks = pair()
    for asked in (0, 1):
        row = replace(blank(0), subject_image=image, keypoints=poses[asked].tolist())
        found = pixels(trained.process([row])[0].mask) > 127
        mine, other = ((found & mask).sum() / mask.sum() for mask in (masks[asked], masks[1 - asked]))
        assert mine > 0.7
        assert other < 0.2
