"""Second step of ``subjects``: where the figure is, by Segment Anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from pipeline.config import MaskSettings
from pipeline.imaging.components import clean_mask
from pipeline.imaging.keypoints import box_of
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
        import torch

        from pipeline.models.segmentation import predictor

        assert row.subject_image is not None
        image = np.asarray(from_png(row.subject_image))
        pose = np.asarray(row.keypoints)
        points = pose[pose[:, 2] > 0, :2] * image.shape[1::-1]
        sam = predictor(self.sam)
        with torch.inference_mode():
            sam.set_image(image)
            masks, scores, _ = sam.predict(
                point_coords=points,
                point_labels=np.ones(len(points), int),
                box=self._box(pose) * np.tile(image.shape[1::-1], 2),
                multimask_output=True,
            )
        best = int(scores.argmax())
        mask = clean_mask(masks[best], self.masks.max_hole, self.masks.max_island)
        picture = Image.fromarray(mask.astype(np.uint8) * 255)
        score = float(np.clip(scores[best], 0, 1))  # SAM regresses it, and may go a little beyond
        return replace(row, mask=to_png(picture), mask_score=score, mask_area=float(mask.mean()))

    def _box(self, pose: np.ndarray) -> np.ndarray:
        """``[x0, y0, x1, y1]`` in 0..1 around the keypoints, with the margin that flesh and clothes need."""
        box = box_of(pose)
        margin = self.masks.box_margin * max(box[2] - box[0], box[3] - box[1])
        return np.clip(box + np.array([-margin, -margin, margin, margin]), 0, 1)
