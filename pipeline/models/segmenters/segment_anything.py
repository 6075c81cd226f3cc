"""Segment Anything by segment-anything: a ``SamPredictor`` per thread around one resident ``Sam``.

Pictures are encoded in one batch, in half precision where the profile says so; prompts and masks stay in float32, which
is all that the predictor can do.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.config import UserError
from pipeline.models.device import device, dtype_of
from pipeline.models.loading import loading
from pipeline.models.resident import per_thread, shared_instance
from pipeline.models.resolve import Model

if TYPE_CHECKING:
    import torch
    from segment_anything import SamPredictor


def run(model: Model, batch: Sequence[tuple[np.ndarray, Any]]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Masks bool ``[3, H, W]`` and scores ``[3]`` of each picture (``[H, W, 3]`` uint8) with its prompt."""
    import torch

    sam = predictor(model)
    with torch.inference_mode():
        resized = [sam.transform.apply_image(image) for image, _ in batch]
        pixels = torch.stack([torch.as_tensor(one, device=sam.device).permute(2, 0, 1) for one in resized])
        features = _encode(sam.model, pixels.contiguous(), dtype_of(model.ref))
        found = []
        for at, (image, prompt) in enumerate(batch):
            # what set_image() would remember, but of one encoding for all
            sam.features, sam.is_image_set = features[at : at + 1], True
            sam.original_size, sam.input_size = image.shape[:2], tuple(pixels.shape[-2:])
            masks, scores, _ = sam.predict(
                point_coords=prompt.points,
                point_labels=np.ones(len(prompt.points), int),
                box=prompt.box,
                multimask_output=True,
            )
            found.append((masks, scores))
    return found


def predictor(model: Model) -> SamPredictor:
    """This thread's predictor (it remembers the picture that it was given)."""
    from segment_anything import SamPredictor

    sam = shared_instance(("sam", model), lambda: _load(model))
    return per_thread(("sam", model), lambda: SamPredictor(sam))


def _encode(sam: Any, pixels: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    import torch

    half = torch.autocast(pixels.device.type, dtype) if dtype != torch.float32 else nullcontext()
    with half:
        encoded: torch.Tensor = sam.image_encoder(sam.preprocess(pixels))
    return encoded.float()


def _load(model: Model) -> Any:
    with loading(model):
        if model.ref.kind == "tiny":
            from pipeline.tiny.sam import build_sam

            sam = build_sam(model.network_dir())
        else:
            import torch
            from segment_anything import sam_model_registry

            if model.ref.kind not in sam_model_registry:
                raise UserError(f"model {model.ref.repo}: segment-anything has no kind {model.ref.kind!r}")
            sam = sam_model_registry[model.ref.kind]()
            # The registry's own loading unpickles whatever the file says.
            sam.load_state_dict(torch.load(model.file(), map_location="cpu", weights_only=True))
        return sam.to(device()).eval().requires_grad_(False)
