"""Where a posed figure is, by the profile's segmenter. Each kind is a module of :mod:`pipeline.models.segmenters`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple

import numpy as np

from pipeline.config import MaskSettings, UserError
from pipeline.imaging.components import clean_mask
from pipeline.imaging.keypoints import box_of
from pipeline.models.memory import in_fitting_batches
from pipeline.models.resolve import Model

_KINDS = {
    **dict.fromkeys(("tiny", "default", "vit_h", "vit_l", "vit_b"), "segment_anything"),
    "sam2": "sam2",
}
"""By the ``kind`` of a profile's model, the module that runs it."""


class Prompt(NamedTuple):
    """What a segmenter is told of one picture, in pixels.

    Attributes:
        points: ``[N, 2]``, all on the figure.
        box: ``[x0, y0, x1, y1]`` around it.
    """

    points: np.ndarray
    box: np.ndarray


class Segmentation(NamedTuple):
    """A figure in a picture.

    Attributes:
        mask: bool ``[H, W]``.
        score: The segmenter's predicted IoU, 0..1.
    """

    mask: np.ndarray
    score: float


def segment(model: Model, image: np.ndarray, pose: np.ndarray, settings: MaskSettings) -> Segmentation:
    """The figure of a pose, see :func:`segment_all`."""
    return segment_all(model, [image], [pose], settings)[0]


def segment_all(
    model: Model, images: Sequence[np.ndarray], poses: Sequence[np.ndarray], settings: MaskSettings
) -> list[Segmentation]:
    """Figures of poses: the segmenter prompted with the keypoints and a box around them; the best of its masks.

    Args:
        model: The segmenter; its ``batch_size`` says how many pictures it is handed at once.
        images: ``[H, W, 3]`` uint8 RGB, all of one size.
        poses: ``[18, 3]`` each: x, y in 0..1, confidence; at least one keypoint must be there.
        settings: Of the box and of the cleaning.

    Raises:
        UserError: The kind is unknown, or the model cannot be loaded or does not fit.
    """
    kind = model.ref.kind
    if kind not in _KINDS:
        raise UserError(f"model {model.ref.repo}: kind {kind!r} is none of {', '.join(_KINDS)}")
    module = import_module(f"pipeline.models.segmenters.{_KINDS[kind]}")
    asked = [(image, _prompt(image, pose, settings.box_margin)) for image, pose in zip(images, poses, strict=True)]
    batches = in_fitting_batches(
        f"segmenter {model.ref.repo}", asked, model.ref.batch_size, lambda b: module.run(model, b)
    )
    found = [one for _, of_batch in batches for one in of_batch]
    return [
        Segmentation(
            clean_mask(masks[scores.argmax()], settings.max_hole, settings.max_island),
            float(np.clip(scores.max(), 0, 1)),  # it is regressed, and may go a little beyond
        )
        for masks, scores in found
    ]


def _prompt(image: np.ndarray, pose: np.ndarray, margin: float) -> Prompt:
    size = image.shape[1::-1]
    return Prompt(pose[pose[:, 2] > 0, :2] * size, _prompt_box(pose, margin) * np.tile(size, 2))


def _prompt_box(pose: np.ndarray, share: float) -> np.ndarray:
    """``[x0, y0, x1, y1]`` in 0..1 around the keypoints, with the margin that flesh and clothes need."""
    box = box_of(pose)
    margin = share * max(box[2] - box[0], box[3] - box[1])
    return np.clip(box + np.array([-margin, -margin, margin, margin]), 0, 1)
