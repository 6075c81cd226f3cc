"""Second step of ``subjects``: where the figure is, by Segment Anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from pipeline.config import MaskSettings
from pipeline.imaging.png import from_png, to_png
from pipeline.models.resolve import Model
from pipeline.records import Subject


@dataclass(frozen=True)
class SegmentSubjects:
    """Prompts SAM with the pose's keypoints and a box around them; the picture is encoded once.

    Attributes:
        masks: Settings of the prompt and the cleaning.
        sam: The model.
    """

    masks: MaskSettings
    sam: Model

    name: ClassVar[str] = "segment_subjects"
    version: ClassVar[int] = 2
    adds: ClassVar[tuple[str, ...]] = ("mask", "mask_score", "mask_area")

    def process(self, rows: Sequence[Subject]) -> list[Subject]:
        return [self._segment(row) for row in rows]

    def settings(self) -> dict[str, Any]:
        return {"masks": self.masks.model_dump(), "sam": self.sam.identity()}

    def _segment(self, row: Subject) -> Subject:
        from pipeline.models.segmentation import segment

        assert row.subject_image is not None
        image = np.asarray(from_png(row.subject_image))
        found = segment(self.sam, image, np.asarray(row.keypoints), self.masks)
        mask = to_png(Image.fromarray(found.mask.astype(np.uint8) * 255))
        return replace(row, mask=mask, mask_score=found.score, mask_area=float(found.mask.mean()))
