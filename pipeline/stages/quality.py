"""Last step of ``subjects`` and of ``variations``: the gates. All scores are kept, whatever the verdict."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from pipeline.config import QualitySettings
from pipeline.imaging.components import main_component
from pipeline.imaging.keypoints import oks
from pipeline.imaging.phash import distance, phash
from pipeline.models.resolve import Model
from pipeline.records import Reason, Subject, Variation
from pipeline.stages.pictures import mask as _mask
from pipeline.stages.pictures import pixels as _pixels

_SUBJECT_LIMITS = {
    "min_pose_score", "min_mask_score", "min_mask_area", "max_mask_area", "min_main_component",
    "min_keypoints_in_mask", "min_clip_t_subject", "min_person_keypoints", "min_person_confidence",
}  # fmt: skip
_VARIATION_LIMITS = {"min_subject_kept", "min_clip_t_background", "min_image_std"}


@dataclass(frozen=True)
class JudgeSubjects:
    """One person, in the asked pose, with a sane mask, looking as the prompt says.

    Attributes:
        quality: The thresholds.
        pose, clip: The models that measure.
    """

    quality: QualitySettings
    pose: Model
    clip: Model

    name: ClassVar[str] = "judge_subjects"
    version: ClassVar[int] = 1

    def process(self, rows: Sequence[Subject]) -> list[Subject]:
        from pipeline.models.clip import clip
        from pipeline.models.extractors import people_in

        images = np.stack([_pixels(row.subject_image) for row in rows])
        fits = clip(self.clip).scores(images, [row.subject_prompt for row in rows])
        found = people_in(self.pose, list(images))
        return [self._judge(row, seen, float(fit)) for row, seen, fit in zip(rows, found, fits, strict=True)]

    def settings(self) -> dict[str, Any]:
        limits = self.quality.model_dump(include=_SUBJECT_LIMITS)
        return {"quality": limits, "pose": self.pose.identity(), "clip": self.clip.identity()}

    def _judge(self, row: Subject, seen: list[np.ndarray], fit: float) -> Subject:
        from pipeline.models.extractors import confident

        asked = np.asarray(row.keypoints)
        found = confident(seen, self.quality.min_person_keypoints, self.quality.min_person_confidence)
        score = max((oks(asked, pose) for pose in found), default=0.0)
        scored = replace(row, people=len(found), pose_score=score, clip_t_subject=fit)
        reason = self._reason(scored)
        return scored.reject(reason) if reason else scored

    def _reason(self, row: Subject) -> Reason | None:
        assert row.pose_score is not None
        assert row.mask_score is not None
        assert row.mask_area is not None
        assert row.clip_t_subject is not None
        limits, mask = self.quality, _mask(row.mask)
        if row.people != 1:
            return Reason.NOT_ONE_PERSON
        if row.pose_score < limits.min_pose_score:
            return Reason.POSE_NOT_KEPT
        if row.mask_area < limits.min_mask_area:
            return Reason.MASK_TOO_SMALL
        if row.mask_area > limits.max_mask_area:
            return Reason.MASK_TOO_LARGE
        if main_component(mask) < limits.min_main_component:
            return Reason.MASK_IN_PIECES
        if _covered(mask, np.asarray(row.keypoints)) < limits.min_keypoints_in_mask:
            return Reason.MASK_MISSES_KEYPOINTS
        if row.mask_score < limits.min_mask_score:
            return Reason.MASK_UNSURE
        if row.clip_t_subject < limits.min_clip_t_subject:
            return Reason.SUBJECT_PROMPT_MISSED
        return None


@dataclass(frozen=True)
class DistinctSubjects:
    """No subject may look like an accepted sibling (same source, other identity).

    Attributes:
        min_distance: Bits in which their perceptual hashes must differ.
    """

    min_distance: int

    name: ClassVar[str] = "distinct_subjects"
    version: ClassVar[int] = 1

    def judge(self, row: Subject, accepted: Sequence[Subject]) -> Subject:
        mine = _hash(row.subject_image)
        near = next((s for s in accepted if distance(mine, _hash(s.subject_image)) < self.min_distance), None)
        return row.reject(Reason.SUBJECT_NEAR_DUPLICATE, f"of {near.subject_id}") if near else row

    def settings(self) -> dict[str, Any]:
        return {"min_distance": self.min_distance}


@dataclass(frozen=True)
class JudgeVariations:
    """The subject is kept, the background is what was asked for, and there is something to see.

    Attributes:
        quality: The thresholds.
        clip: The model that measures.
    """

    quality: QualitySettings
    clip: Model

    name: ClassVar[str] = "judge_variations"
    version: ClassVar[int] = 1

    def process(self, rows: Sequence[Variation]) -> list[Variation]:
        from pipeline.models.clip import clip

        images = np.stack([_pixels(row.image) for row in rows])
        fits = clip(self.clip).scores(images, [row.background_prompt for row in rows])
        return [self._judge(row, image, float(fit)) for row, image, fit in zip(rows, images, fits, strict=True)]

    def settings(self) -> dict[str, Any]:
        return {"quality": self.quality.model_dump(include=_VARIATION_LIMITS), "clip": self.clip.identity()}

    def _judge(self, row: Variation, image: np.ndarray, fit: float) -> Variation:
        mask, subject = _mask(row.mask), _pixels(row.subject_image)
        kept = 1 - float(np.abs(image[mask].astype(int) - subject[mask]).mean() / 255) if mask.any() else 0.0
        scored = replace(row, clip_t_background=fit, subject_kept=kept)
        if kept < self.quality.min_subject_kept:
            return scored.reject(Reason.SUBJECT_NOT_KEPT)
        if _contrast(image[~mask]) < self.quality.min_image_std:
            return scored.reject(Reason.DEGENERATE)
        if fit < self.quality.min_clip_t_background:
            return scored.reject(Reason.BACKGROUND_PROMPT_MISSED)
        return scored


def _covered(mask: np.ndarray, pose: np.ndarray) -> float:
    """The share of a pose's keypoints that lie in the mask."""
    height, width = mask.shape
    there = pose[pose[:, 2] > 0]
    columns = np.clip((there[:, 0] * width).astype(int), 0, width - 1)
    rows = np.clip((there[:, 1] * height).astype(int), 0, height - 1)
    return float(mask[rows, columns].mean())


def _contrast(pixels: np.ndarray) -> float:
    """Standard deviation of the grey values (0..1) of pixels ``[N, 3]``."""
    return float((pixels @ np.array([0.299, 0.587, 0.114])).std() / 255) if len(pixels) else 0.0


@functools.lru_cache(maxsize=256)
def _hash(png: bytes | None) -> str:
    return phash(Image.fromarray(_pixels(png)))
