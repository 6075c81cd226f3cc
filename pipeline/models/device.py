"""Where models run and in what precision."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from pipeline.config import ModelRef

logger = logging.getLogger(__name__)


def device() -> torch.device:
    """The GPU where there is one, else the CPU. ``CUDA_VISIBLE_DEVICES`` picks among several."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def dtype_of(ref: ModelRef) -> torch.dtype:
    """The profile's precision; on a CPU float32, because half precision is 15 to 30 times slower there."""
    import torch

    if device().type == "cpu" and ref.dtype != "float32":
        logger.warning("%s: runs in float32 on this CPU, not in %s", ref.repo, ref.dtype)
        return torch.float32
    dtype: torch.dtype = getattr(torch, ref.dtype)
    return dtype


def quieten() -> None:
    """Keeps the libraries' loading bars and import-time warnings out of our own display."""
    import diffusers.utils.logging
    import transformers.utils.logging

    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    warnings.filterwarnings("ignore", category=FutureWarning, module="timm|controlnet_aux")
