"""A LoRA (Hu et al. 2021) on the keys and values of a UNet's cross-attention, through peft."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

_TARGETS = r".*attn2\.to_[kv]"


def add_lora(unet: Any, rank: int) -> None:
    """Adds a trainable LoRA; rank 0: none. Everything else of the UNet stays frozen."""
    if rank:
        import torch
        from diffusers.training_utils import cast_training_params
        from peft import LoraConfig

        unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, init_lora_weights="gaussian", target_modules=_TARGETS))
        cast_training_params(unet, dtype=torch.float32)


def lora_parameters(unet: nn.Module) -> list[nn.Parameter]:
    """What of the UNet is trained."""
    return [parameter for parameter in unet.parameters() if parameter.requires_grad]


@contextmanager
def without_lora(unet: Any) -> Iterator[Any]:
    """The UNet as it was before :func:`add_lora`, for as long as it lasts."""
    adapted = getattr(unet, "peft_config", None)
    if adapted:
        unet.disable_adapters()
    try:
        yield unet
    finally:
        if adapted:
            unet.enable_adapters()


def save_lora(unet: Any, folder: Path) -> None:
    """Writes the LoRA as safetensors, as diffusers' ``load_lora_adapter`` reads it."""
    unet.save_lora_adapter(folder, safe_serialization=True)
