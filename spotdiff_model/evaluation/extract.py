"""From pictures to the features that are judged: of encoders, and of the frozen CLIP beneath them."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from spotdiff_model.evaluation.features import Features

if TYPE_CHECKING:
    import torch

    from pipeline.models.clip import Clip
    from spotdiff_model.model import SpotDiffEncoder

_BATCH = 64
_GRID = 8
"""Patch tokens of finer towers are averaged to so many a side."""


def decoded(images: Sequence[bytes], batch: int = _BATCH) -> Iterator[list[Image.Image]]:
    """PNGs as RGB pictures, a batch at a time."""
    for start in range(0, len(images), batch):
        yield [Image.open(io.BytesIO(data)).convert("RGB") for data in images[start : start + batch]]


def clip_features(images: Sequence[bytes], clip: Clip) -> tuple[np.ndarray, np.ndarray]:
    """What the frozen CLIP knows.

    Args:
        images: PNGs of one size.
        clip: The profile's CLIP.

    Returns:
        Embeddings ``[N, D]`` (pooled and projected, unit length) and the last layer's tokens ``[N, T * C]`` float16
        (class token and patches, the patches averaged to a grid of at most 8 x 8).
    """
    import torch

    embeddings, tokens = [], []
    for pictures in decoded(images):
        pixels = clip.processor(pictures, return_tensors="pt").pixel_values
        with torch.inference_mode():
            out = clip.model.vision_model(pixels.to(clip.model.device, clip.model.dtype))
            projected = clip.model.visual_projection(out.pooler_output)
        embeddings.append(torch.nn.functional.normalize(projected.float(), dim=-1).cpu().numpy())
        tokens.append(_coarse(out.last_hidden_state.float()).cpu().numpy().astype(np.float16))
    return np.concatenate(embeddings), np.concatenate(tokens)


def _coarse(states: torch.Tensor) -> torch.Tensor:
    """``[B, T * C]`` of hidden states ``[B, 1 + patches, C]``."""
    import torch

    side = round((states.shape[1] - 1) ** 0.5)
    patches = states[:, 1:].unflatten(1, (side, side)).permute(0, 3, 1, 2)
    if side > _GRID:
        patches = torch.nn.functional.adaptive_avg_pool2d(patches, _GRID)
    return torch.cat([states[:, 0], patches.flatten(1)], dim=1)


def encoded(images: Sequence[bytes], encoders: Sequence[SpotDiffEncoder]) -> list[Features]:
    """The features of several encoders; those that one does not have (no experts) are None.

    Encoders that read the same layers share the pass through the frozen vision encoder, which is most of the work.
    """
    import torch

    from spotdiff_model.hub import vision_encoder

    parts: list[list[list[np.ndarray]]] = [[] for _ in encoders]
    for pictures in decoded(images):
        tokens: dict[tuple[int, ...], torch.Tensor] = {}
        for part, encoder in zip(parts, encoders, strict=True):
            layers = encoder.config.layers
            if layers not in tokens:
                tokens[layers] = vision_encoder(encoder.config, encoder.models_root).tokens(pictures)
            place = next(encoder.parameters())
            with torch.no_grad():
                output = encoder(tokens[layers].to(place.device, place.dtype))
            part.append([getattr(output, name).float().cpu().numpy() for name in _FEATURES])
    return [_features([np.concatenate(values) for values in zip(*part, strict=True)]) for part in parts]


def _features(values: Sequence[np.ndarray]) -> Features:
    subject, pose, background, keypoints = values
    return Features(subject, pose, background, keypoints) if pose.shape[1] else Features(subject)


_FEATURES = ("subject", "pose", "background", "keypoints")
