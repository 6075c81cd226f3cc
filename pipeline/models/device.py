"""Where models run, in what precision, and beside what."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pipeline.models.resident import per_thread

if TYPE_CHECKING:
    import torch

    from pipeline.config import ModelRef

logger = logging.getLogger(__name__)
_told: set[str] = set()


def device() -> torch.device:
    """The GPU where there is one, else the CPU. ``CUDA_VISIBLE_DEVICES`` picks among several."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def device_name() -> str | None:
    """The GPU's name or ``cpu``; None where torch was never loaded in this process, and so nothing run."""
    torch: Any = sys.modules.get("torch")
    if torch is None:
        return None
    return str(torch.cuda.get_device_name()) if torch.cuda.is_available() else "cpu"


def dtype_of(ref: ModelRef) -> torch.dtype:
    """The profile's precision; on a CPU float32, because half precision is 15 to 30 times slower there."""
    import torch

    if device().type == "cpu" and ref.dtype != "float32":
        if ref.repo not in _told:
            _told.add(ref.repo)
            logger.warning("%s: runs in float32 on this CPU, not in %s", ref.repo, ref.dtype)
        return torch.float32
    dtype: torch.dtype = getattr(torch, ref.dtype)
    return dtype


def prepare() -> None:
    """On a GPU, the parts that run in float32 may use its TF32 units: many times faster, 10 bits of mantissa."""
    import torch

    if device().type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True


def mark() -> Any:
    """What :func:`beside` waits for: all that this thread has handed the GPU so far; None where there is none."""
    torch: Any = sys.modules.get("torch")  # not loaded: nothing was handed over
    return torch.cuda.current_stream().record_event() if torch and torch.cuda.is_available() else None


@contextmanager
def beside(mark: Any) -> Iterator[None]:
    """Inside, this thread's work goes to a CUDA stream of its own: it runs while the other streams' work does."""
    if mark is None:
        yield
        return
    import torch

    stream = per_thread("stream", torch.cuda.Stream)
    stream.wait_event(mark)
    with torch.cuda.stream(stream):
        yield


def quieten() -> None:
    """Keeps the libraries' loading bars and import-time warnings out of our own display."""
    import diffusers.utils.logging
    import transformers.utils.logging

    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    warnings.filterwarnings("ignore", category=FutureWarning, module="timm|controlnet_aux")
