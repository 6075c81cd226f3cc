"""Segment Anything: a ``SamPredictor`` per thread around one resident ``Sam``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pipeline.config import MaskSettings, UserError
from pipeline.imaging.components import clean_mask
from pipeline.imaging.keypoints import box_of
from pipeline.models.device import device
from pipeline.models.resident import once, per_thread
from pipeline.models.resolve import Model

if TYPE_CHECKING:
    from segment_anything import SamPredictor


class Segmentation(NamedTuple):
    """Where a figure is.

    Attributes:
        mask: ``[H, W]`` bool.
        score: What SAM expects the mask's IoU to be, 0..1.
    """

    mask: np.ndarray
    score: float


def segment(model: Model, image: np.ndarray, pose: np.ndarray, settings: MaskSettings) -> Segmentation:
    """The person in a pose: SAM is prompted with its keypoints and a box around them; the picture is encoded once.

    Args:
        model: The SAM.
        image: ``[H, W, 3]`` uint8, RGB.
        pose: ``[18, 3]`` keypoints: x, y in 0..1, confidence; 0 = missing.
        settings: Of the prompt and the cleaning.
    """
    import torch

    points = pose[pose[:, 2] > 0, :2] * image.shape[1::-1]
    sam = predictor(model)
    with torch.inference_mode():
        sam.set_image(image)
        masks, scores, _ = sam.predict(
            point_coords=points,
            point_labels=np.ones(len(points), int),
            box=_box(pose, settings.box_margin) * np.tile(image.shape[1::-1], 2),
            multimask_output=True,
        )
    best = int(scores.argmax())
    # SAM regresses its score, and may go a little beyond
    return Segmentation(
        clean_mask(masks[best], settings.max_hole, settings.max_island), float(np.clip(scores[best], 0, 1))
    )


def predictor(model: Model) -> SamPredictor:
    """This thread's predictor (it remembers the picture that it was given)."""
    from segment_anything import SamPredictor

    sam = once(("sam", model), lambda: _load(model))
    return per_thread(("sam", model), lambda: SamPredictor(sam))


def _box(pose: np.ndarray, share: float) -> np.ndarray:
    """``[x0, y0, x1, y1]`` in 0..1 around the keypoints, with the margin that flesh and clothes need."""
    box = box_of(pose)
    margin = share * max(box[2] - box[0], box[3] - box[1])
    return np.clip(box + np.array([-margin, -margin, margin, margin]), 0, 1)


def _load(model: Model) -> Any:
    if model.ref.dtype != "float32":
        raise UserError(f'model {model.ref.repo}: segment-anything runs in float32 only; set dtype = "float32"')
    if model.ref.kind == "tiny":
        from pipeline.tiny.sam import build_sam

        sam = build_sam(model.network())
    else:
        import torch
        from segment_anything import sam_model_registry

        if model.ref.kind not in sam_model_registry:
            kinds = ", ".join(("tiny", *sam_model_registry))
            raise UserError(f"model {model.ref.repo}: kind {model.ref.kind!r} is none of {kinds}")
        sam = sam_model_registry[model.ref.kind]()
        # The registry's own loading unpickles whatever the file says.
        sam.load_state_dict(torch.load(model.file(), map_location="cpu", weights_only=True))
    return sam.to(device()).eval().requires_grad_(False)
