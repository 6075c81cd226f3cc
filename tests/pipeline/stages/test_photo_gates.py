"""The gates for photographs: a second person, a subject that grew, a seam that shows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from made_rows import pair, pixels, png, variation
from standins import OPEN_GATES

from pipeline.config import MaskSettings, QualitySettings, load_profile
from pipeline.imaging.paste import seam, seam_step
from pipeline.models.resolve import Model
from pipeline.models.segmentation import Segmentation
from pipeline.records import Reason, Variation
from pipeline.stages.photo_gates import JudgePhotos, wanted

MODELS = load_profile("tiny").models


def judge(**limits: Any) -> JudgePhotos:
    quality = QualitySettings(**{**OPEN_GATES, **limits})
    return JudgePhotos(quality, MaskSettings(), Model(MODELS.sam), Model(MODELS.pose))


def one(gates: JudgePhotos, row: Variation) -> Variation:
    (judged,) = gates.process([replace(row, subject_kept=1.0)])
    return judged


def found(monkeypatch: pytest.MonkeyPatch, mask: np.ndarray) -> None:
    """What the segmenter finds from now on."""
    monkeypatch.setattr(
        "pipeline.models.segmentation.segment_all", lambda _, images, *rest: [Segmentation(mask, 0.9)] * len(images)
    )


def test_tiny_has_none_of_these_gates() -> None:
    assert not wanted(load_profile("tiny").quality)
    assert not wanted(load_profile("photos").quality)
    assert wanted(load_profile("sd15").quality) and wanted(load_profile("sdxl").quality)


def test_a_second_person_is_seen(weights: Any) -> None:
    image, poses, masks = pair()
    shared = {"keypoints": poses[0].tolist(), "mask": png(masks[0]), "subject_image": image}
    two = one(judge(count_people=True), replace(variation(1), image=image, **shared))
    assert (two.reason, two.detail) == (Reason.NOT_ONE_PERSON, "2 in the variation")
    assert one(judge(), replace(variation(1), image=image, **shared)).ok


def test_ghosts_are_not_counted(weights: Any) -> None:
    """Detections below the thresholds are nobody; here the thresholds are such that all are."""
    image, *_ = pair()
    nobody = one(judge(count_people=True, min_person_confidence=1.0), replace(variation(1), image=image))
    assert nobody.detail == "0 in the variation"


def test_a_subject_that_grew_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    row = variation(1)
    mask = pixels(row.mask) > 127
    grown = cv2.dilate(mask.astype(np.uint8), np.ones((7, 7))) > 0
    growth = (grown & ~mask).sum() / mask.sum()
    assert growth > 0.2
    found(monkeypatch, grown)
    rejected = one(judge(max_mask_growth=growth - 0.05), row)
    assert rejected.reason is Reason.SUBJECT_GREW
    assert f"{growth:.0%}" in str(rejected.detail)
    assert one(judge(max_mask_growth=growth + 0.05), row).ok
    found(monkeypatch, mask)
    assert one(judge(max_mask_growth=0.01), row).ok


def test_what_is_kept_of_a_subject_is_not_one_by_pasting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of it painted over in looks: the pixels are pasted back, the segmenter finds the other half only."""
    row = variation(1)
    mask = pixels(row.mask) > 127
    half = mask.copy()
    half[np.flatnonzero(mask.any(axis=1)).mean().astype(int) :] = False
    overlap = half.sum() / mask.sum()
    found(monkeypatch, half)
    kept = one(judge(max_mask_growth=1, min_subject_kept=overlap - 0.05), row)
    assert kept.ok
    assert kept.subject_kept == pytest.approx(overlap)
    lost = one(judge(max_mask_growth=1, min_subject_kept=overlap + 0.05), row)
    assert lost.reason is Reason.SUBJECT_NOT_KEPT


def test_a_seam_that_shows_is_rejected() -> None:
    row = replace(variation(1), seam=0.2)
    assert one(judge(max_seam=0.3), row).ok
    rejected = one(judge(max_seam=0.1), row)
    assert (rejected.reason, rejected.detail) == (Reason.SEAM_VISIBLE, "a step of 0.20")


def test_the_step_is_measured_along_the_edge() -> None:
    area = np.zeros((64, 64), bool)
    area[16:48, 16:48] = True
    subject = np.full((64, 64, 3), 200, np.uint8)
    painted = subject.copy()
    painted[~area] = 20  # another background is no seam
    painted[28:36, 28:36] = 0  # nor is what the model made of the middle, which is pasted over
    weight = seam(area, 0.0)
    assert seam_step(subject, painted, weight) == 0
    darker = np.where(area[..., None], 200 - 51, painted).astype(np.uint8)
    assert seam_step(subject, darker, weight) == pytest.approx(0.2, abs=0.001)
    assert seam_step(subject, darker, seam(area, 0.02)) == pytest.approx(0.2, abs=0.001)
    assert seam_step(subject, painted, np.zeros((64, 64, 1), np.float32)) == 0


def test_settings_are_the_gates_own() -> None:
    assert judge(max_seam=0.1).settings() != judge(max_seam=0.2).settings()
    assert judge(min_clip_t_background=0.1).settings() == judge().settings()
