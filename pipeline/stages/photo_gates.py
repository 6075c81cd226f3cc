"""Further gates of ``variations``, for photographs: what inpainting does beyond its mask. Off in the miniature world.

Inpainting models were trained to fill holes, and paint on beyond a subject: hair, arms, a second person. Its own pixels
are pasted back, so they cannot show it; what is around them can.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from pipeline.config import MaskSettings, QualitySettings
from pipeline.models.resolve import Model
from pipeline.records import Reason, Variation
from pipeline.stages import pictures

_LIMITS = {
    "min_subject_kept", "min_person_keypoints", "min_person_confidence", "max_mask_growth", "count_people", "max_seam",
}  # fmt: skip


def wanted(quality: QualitySettings) -> bool:
    """Whether a profile has any of these gates."""
    return quality.max_mask_growth is not None or quality.count_people or quality.max_seam is not None


@dataclass(frozen=True)
class JudgePhotos:
    """Nobody else is there, the subject has not grown, the seam does not show.

    Attributes:
        quality: The thresholds; a gate without one is off.
        masks: How the subject was segmented, and is again.
        sam, pose: The models that look.
    """

    quality: QualitySettings
    masks: MaskSettings
    sam: Model
    pose: Model

    name: ClassVar[str] = "judge_photos"
    version: ClassVar[int] = 1

    def process(self, rows: Sequence[Variation]) -> list[Variation]:
        images = [pictures.pixels(row.image) for row in rows]
        people, found = self._people(images), self._masks(rows, images)
        return [self._judge(row, count, again) for row, count, again in zip(rows, people, found, strict=True)]

    def settings(self) -> dict[str, Any]:
        return {
            "quality": self.quality.model_dump(include=_LIMITS),
            "masks": self.masks.model_dump(),
            "sam": self.sam.identity(),
            "pose": self.pose.identity(),
        }

    def _people(self, images: list[np.ndarray]) -> list[int | None]:
        from pipeline.models.extractors import confident, people_in

        if not self.quality.count_people:
            return [None] * len(images)
        least = self.quality.min_person_keypoints, self.quality.min_person_confidence
        return [len(confident(seen, *least)) for seen in people_in(self.pose, images)]

    def _masks(self, rows: Sequence[Variation], images: list[np.ndarray]) -> list[np.ndarray | None]:
        from pipeline.models.segmentation import segment_all

        if self.quality.max_mask_growth is None:
            return [None] * len(images)
        poses = [np.asarray(row.keypoints) for row in rows]
        return [one.mask for one in segment_all(self.sam, images, poses, self.masks)]

    def _judge(self, row: Variation, people: int | None, found: np.ndarray | None) -> Variation:
        limits = self.quality
        if people is not None and people != 1:
            return row.reject(Reason.NOT_ONE_PERSON, f"{people} in the variation")
        if found is not None:
            before = pictures.mask(row.mask)
            grown = float((found & ~before).sum() / max(before.sum(), 1))
            overlap = float((found & before).sum() / max((found | before).sum(), 1))
            row = replace(row, subject_kept=(row.subject_kept or 0.0) * overlap)
            if limits.max_mask_growth is not None and grown > limits.max_mask_growth:
                return row.reject(Reason.SUBJECT_GREW, f"by {grown:.0%} of its mask")
            if (row.subject_kept or 0.0) < limits.min_subject_kept:
                return row.reject(Reason.SUBJECT_NOT_KEPT, f"its mask and the one found again overlap by {overlap:.0%}")
        if limits.max_seam is not None and row.seam is not None and row.seam > limits.max_seam:
            return row.reject(Reason.SEAM_VISIBLE, f"a step of {row.seam:.2f}")
        return row
