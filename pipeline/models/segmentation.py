"""Segment Anything: a ``SamPredictor`` per thread around one resident ``Sam``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.config import UserError
from pipeline.models.device import device
from pipeline.models.resident import once, per_thread
from pipeline.models.resolve import Model

if TYPE_CHECKING:
    from segment_anything import SamPredictor


def predictor(model: Model) -> SamPredictor:
    """This thread's predictor (it remembers the picture that it was given)."""
    from segment_anything import SamPredictor

    sam = once(("sam", model), lambda: _load(model))
    return per_thread(("sam", model), lambda: SamPredictor(sam))


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
