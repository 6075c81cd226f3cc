"""SAM 2 by transformers: all pictures and prompts of a batch at once, in half precision where the profile says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from pipeline.models.device import device, dtype_of, quieten
from pipeline.models.loading import loading
from pipeline.models.resident import shared_instance
from pipeline.models.resolve import Model


class _Sam2(NamedTuple):
    model: Any
    processor: Any


def run(model: Model, batch: Sequence[tuple[np.ndarray, Any]]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Masks bool ``[3, H, W]`` and scores ``[3]`` of each picture (``[H, W, 3]`` uint8) with its prompt."""
    import torch

    sam, processor = shared_instance(("sam2", model), lambda: _load(model))
    inputs = processor(
        images=[image for image, _ in batch],
        input_points=[[prompt.points.tolist()] for _, prompt in batch],
        input_labels=[[[1] * len(prompt.points)] for _, prompt in batch],
        input_boxes=[[prompt.box.tolist()] for _, prompt in batch],
        return_tensors="pt",
    )
    sizes = inputs.pop("original_sizes")
    moved = {
        name: value.to(sam.device, sam.dtype if value.is_floating_point() else None) for name, value in inputs.items()
    }
    with torch.inference_mode():
        found = sam(**moved, multimask_output=True)
    masks = processor.post_process_masks(found.pred_masks.float(), sizes)
    scores = found.iou_scores.float().cpu().numpy()
    return [(mask[0].cpu().numpy(), score[0]) for mask, score in zip(masks, scores, strict=True)]


def _load(model: Model) -> _Sam2:
    from transformers import Sam2Model, Sam2Processor

    quieten()
    with loading(model):
        folder = model.network_dir()
        network = Sam2Model.from_pretrained(folder, dtype=dtype_of(model.ref), use_safetensors=True)
        return _Sam2(network.to(device()).eval().requires_grad_(False), Sam2Processor.from_pretrained(folder))
