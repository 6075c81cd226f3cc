"""CLIP: how well a picture fits a text."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.models.device import device, dtype_of, quieten
from pipeline.models.loading import loading
from pipeline.models.memory import in_fitting_batches
from pipeline.models.resident import LRUCache, shared_instance
from pipeline.models.resolve import Model

if TYPE_CHECKING:
    import torch

_TEXTS = 4096


@dataclass(frozen=True)
class Clip:
    """A resident ``CLIPModel`` with its processor and tokenizer."""

    model: Any
    processor: Any
    tokenizer: Any
    _texts: LRUCache[np.ndarray] = field(default_factory=lambda: LRUCache(_TEXTS))
    _tokenizing: threading.Lock = field(default_factory=threading.Lock)

    def image_features(self, images: np.ndarray) -> np.ndarray:
        """Unit vectors ``[B, D]`` float32 of pictures ``[B, H, W, 3]`` uint8, in one batch if it fits."""
        parts = in_fitting_batches(f"CLIP {self.model.name_or_path}", images, max(1, len(images)), self._features)
        return np.concatenate([features for _, features in parts])

    def _features(self, images: np.ndarray) -> np.ndarray:
        import torch

        pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
        with torch.inference_mode():
            inputs = self.processor(pixels, return_tensors="pt").pixel_values.to(self.model.device, self.model.dtype)
            return _unit(self.model.get_image_features(inputs).pooler_output)

    def text_features(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors ``[B, D]`` float32; each text is encoded once, and alone, so that no other text shows in it."""
        return np.concatenate([self._texts.get(text, partial(self._text, text)) for text in texts])

    def scores(self, images: np.ndarray, texts: Sequence[str]) -> np.ndarray:
        """Cosines ``[B]`` of each picture with its text."""
        return (self.image_features(images) * self.text_features(texts)).sum(axis=1)

    def _text(self, text: str) -> np.ndarray:
        import torch

        with self._tokenizing:  # a call changes the tokenizer's settings, in the middle of another thread's call
            inputs = self.tokenizer([text], truncation=True, return_tensors="pt").to(self.model.device)
        with torch.inference_mode():
            return _unit(self.model.get_text_features(**inputs).pooler_output)


def clip(model: Model) -> Clip:
    """The process's CLIP."""
    return shared_instance(("clip", model), lambda: _load(model))


def _load(model: Model) -> Clip:
    from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer

    quieten()
    with loading(model):
        folder = model.network_dir()
        network = CLIPModel.from_pretrained(
            folder, dtype=dtype_of(model.ref), variant=model.ref.variant, use_safetensors=True
        )
        network = network.to(device()).eval().requires_grad_(False)
        return Clip(network, CLIPImageProcessor.from_pretrained(folder), CLIPTokenizer.from_pretrained(folder))


def _unit(features: torch.Tensor) -> np.ndarray:
    import torch

    return torch.nn.functional.normalize(features.float(), dim=-1).cpu().numpy()
