"""Decoupled cross-attention (IP-Adapter): image tokens with keys and values of their own, by diffusers' processors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from diffusers.models.attention_processor import AttnProcessor2_0, IPAdapterAttnProcessor2_0
from diffusers.models.embeddings import MultiIPAdapterImageProjection
from torch import nn


def install(unet: Any, num_tokens: Sequence[int]) -> list[IPAdapterAttnProcessor2_0]:
    """Gives every cross-attention new keys and values for image tokens, which start as copies of the text's.

    Args:
        unet: Changed in place; tokens then come through ``added_cond_kwargs["image_embeds"]``, already projected.
        num_tokens: Of each set of tokens; each set has keys and values of its own.

    Returns:
        The new processors, whose ``scale`` says how much of each set is let in.
    """
    processors: dict[str, Any] = {}
    modules = dict(unet.named_modules())
    added = []
    for name in unet.attn_processors:
        layer = modules[name.removesuffix(".processor")]
        if not layer.is_cross_attention:
            processors[name] = AttnProcessor2_0()
            continue
        inner, width = layer.to_k.out_features, layer.to_k.in_features
        processor = IPAdapterAttnProcessor2_0(inner, width, num_tokens=tuple(num_tokens))
        for keys, values in zip(processor.to_k_ip, processor.to_v_ip, strict=True):
            keys.load_state_dict(layer.to_k.state_dict())
            values.load_state_dict(layer.to_v.state_dict())
        processors[name] = processor.to(layer.to_k.weight.device)
        added.append(processor)
    unet.set_attn_processor(processors)
    unet.encoder_hid_proj = MultiIPAdapterImageProjection([nn.Identity() for _ in num_tokens])
    unet.register_to_config(encoder_hid_dim_type="ip_image_proj")
    return added


def set_scales(processors: Sequence[IPAdapterAttnProcessor2_0], scales: Sequence[float]) -> None:
    """How much of each set of tokens is let in; 0: nothing, and nothing is computed."""
    for processor in processors:
        processor.scale = list(scales)
