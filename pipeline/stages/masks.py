"""Second step of ``subjects``: where the figure is, by the profile's segmenter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from pipeline.config import MaskSettings
from pipeline.models.resolve import Model
from pipeline.records import Subject
from pipeline.stages import pictures


@dataclass(frozen=True)
class SegmentSubjects:
    """Prompts the segmenter with the pose's keypoints and a box around them; each picture is encoded once.

    Attributes:
        masks: Settings of the prompt and the cleaning.
        sam: The model.
    """

    masks: MaskSettings
    sam: Model

    name: ClassVar[str] = "segment_subjects"
    version: ClassVar[int] = 2

    def process(self, rows: Sequence[Subject]) -> list[Subject]:
        from pipeline.models.segmentation import segment_all

        images = [pictures.pixels(row.subject_image) for row in rows]
        found = segment_all(self.sam, images, [np.asarray(row.keypoints) for row in rows], self.masks)
        pngs = pictures.encode([one.mask.astype(np.uint8) * 255 for one in found])
        return [
            replace(row, mask=png, mask_score=one.score, mask_area=float(one.mask.mean()))
            for row, one, png in zip(rows, found, pngs, strict=True)
        ]

    def settings(self) -> dict[str, Any]:
        return {"masks": self.masks.model_dump(), "sam": self.sam.identity()}
