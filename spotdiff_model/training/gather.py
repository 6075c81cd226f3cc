"""Batch losses see the batches of all devices, so that they do not depend on how many devices there are."""

from __future__ import annotations

import torch
import torch.distributed.nn.functional
from torch import Tensor


def gather(features: Tensor) -> Tensor:
    """Features ``[B, ...]`` of all devices, ``[devices * B, ...]``; gradients find their way back.

    Each device then computes the same loss of the whole batch, and gets devices times the gradient of its part, which
    the averaging over devices sets right.
    """
    if not torch.distributed.is_initialized() or torch.distributed.get_world_size() == 1:
        return features
    return torch.cat(torch.distributed.nn.functional.all_gather(features.contiguous()))
