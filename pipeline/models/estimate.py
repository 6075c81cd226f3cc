"""How long denoising would take on this CPU: the UNet's arithmetic, counted without weights, at its measured speed."""

from __future__ import annotations

import json
import time
from typing import Any

from pipeline.models.resolve import Model

_TRIALS = 3


def cpu_seconds(model: Model, size: int) -> float:
    """Seconds of one denoising step of one picture, a ControlNet or other extras not counted.

    Args:
        model: A diffusion model's repo.
        size: Side of the pictures, pixels.
    """
    return unet_flops(model, size) / _flops_per_second()


def unet_flops(model: Model, size: int) -> float:
    """Floating-point operations of one UNet call on one picture; the network is built without its weights."""
    import torch
    from diffusers import UNet2DConditionModel
    from torch.utils.flop_counter import FlopCounterMode

    folder = model.pipeline_dir()
    vae = json.loads((folder / "vae" / "config.json").read_text("utf-8"))
    side = size // 2 ** (len(vae["block_out_channels"]) - 1)
    with torch.device("meta"), torch.no_grad():
        unet: Any = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(folder / "unet")).eval()
        config = unet.config
        added = {}
        if config.addition_embed_type == "text_time":
            ids = 6
            pooled = config.projection_class_embeddings_input_dim - ids * config.addition_time_embed_dim
            added = {"text_embeds": torch.empty(1, pooled), "time_ids": torch.empty(1, ids)}
        told = torch.empty(1, 77, config.cross_attention_dim)
        with FlopCounterMode(display=False) as counter:
            unet(torch.empty(1, config.in_channels, side, side), torch.tensor(1), told, added_cond_kwargs=added)
    return float(counter.get_total_flops())


def _flops_per_second() -> float:
    """What this CPU does in a convolution as the UNets have them."""
    import torch

    channels, side = 320, 64
    layer = torch.nn.Conv2d(channels, channels, 3, padding=1)
    pixels = torch.randn(1, channels, side, side)
    with torch.inference_mode():
        layer(pixels)
        began = time.perf_counter()
        for _ in range(_TRIALS):
            layer(pixels)
        taken = time.perf_counter() - began
    return 2 * _TRIALS * channels * channels * 9 * side * side / taken
