"""Stable Diffusion's safety checker, called by itself: it judges pictures and changes none."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

import numpy as np

from pipeline.models.device import device, dtype_of, quieten
from pipeline.models.loading import loading
from pipeline.models.memory import in_fitting_batches
from pipeline.models.resident import shared_instance
from pipeline.models.resolve import Model

_BATCH = 16


class _Checker(NamedTuple):
    network: Any
    processor: Any


def flagged(model: Model, images: np.ndarray) -> list[bool]:
    """Whether the checker takes each picture for not safe for work.

    Args:
        model: The checker; its picture processor lies beside it in the repo, as ``feature_extractor``.
        images: ``[B, H, W, 3]`` uint8 RGB.

    Raises:
        UserError: It cannot be loaded, or does not fit.
    """
    checker = shared_instance(("safety", model), lambda: _load(model))
    done = in_fitting_batches(f"safety checker {model.ref.repo}", images, _BATCH, lambda part: _judge(checker, part))
    return [one for _, verdicts in done for one in verdicts]


def _judge(checker: _Checker, images: np.ndarray) -> list[bool]:
    import torch

    network = checker.network
    pixels = torch.from_numpy(images.copy()).permute(0, 3, 1, 2)
    inputs = checker.processor(pixels, return_tensors="pt").pixel_values.to(network.device, network.dtype)
    with torch.inference_mode():
        # it blackens what it flags in the pictures that it is handed: these are nobody's
        _, verdicts = network(clip_input=inputs, images=np.zeros((len(images), 1, 1, 3), np.float32))
    return [bool(one) for one in verdicts]


def _load(model: Model) -> _Checker:
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers import CLIPImageProcessor

    quieten()
    with loading(model):
        beside = Model(model.ref.model_copy(update={"subfolder": "feature_extractor", "variant": None}), model.root)
        processor = CLIPImageProcessor.from_pretrained(beside.folder("*.json"))
        network = StableDiffusionSafetyChecker.from_pretrained(
            model.network_dir(),
            dtype=dtype_of(model.ref),
            variant=model.ref.variant,
            use_safetensors=True,
            attn_implementation="eager",  # it knows no other
        )
    # it warns that a black image will be returned: none is
    logging.getLogger("diffusers.pipelines.stable_diffusion.safety_checker").setLevel(logging.ERROR)
    return _Checker(network.to(device()).eval(), processor)
