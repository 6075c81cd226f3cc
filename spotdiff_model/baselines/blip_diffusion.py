"""BLIP-Diffusion-mini (our reimplementation; salesforce/LAVIS, BSD-3; pretraining code and data were never released).

Kept: a Q-Former (transformers' ``Blip2QFormerModel``) whose queries read CLIP's last but one hidden states by
cross-attention in every layer and the subject's class word jointly; its outputs through ``x + drop(W2 QuickGELU(W1
LN(x)))`` become words at "a [queries] person", *before* the text encoder. Two stages: contrast and matching with the
subject's description; then noise prediction, with the reference's subject pasted before another background as input
and the original as target. The subject is dropped in 15 % of the second stage. Here, as there, the UNet is trained
whole (``--unet full``); ``--unet kv`` is the variant that compares with others.

Reduced: 2 layers, 8 queries, as wide as the text encoder; one third of the steps is stage one. The prompt is not said
twenty times over: 48 positions forbid it. The per-subject fine-tuning is left out. Unknown: losses' weights, data,
and whether the other halves of stage one were kept; the second stage's recipe is from secondary texts.

It has no scale: ``scale`` 0 says the class noun.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Blip2QFormerConfig, Blip2QFormerModel
from transformers.activations import ACT2FN

from pipeline import ids
from spotdiff_model.baselines.baseline import Baseline, Condition, Parts
from spotdiff_model.baselines.config import Saved
from spotdiff_model.baselines.data import Batch, Shown
from spotdiff_model.baselines.frozen import Frozen
from spotdiff_model.placeholder import PLACEHOLDER

_QUERIES, _LAYERS, _HEADS = 8, 2, 4
_FIRST_SHARE = 1 / 3
_DROP = 0.15
_TEMPERATURE = 0.07
_CLASS = "person"


class BlipDiffusion(Baseline):
    title = "BLIP-Diffusion-mini (our reimplementation)"
    reads = ("captions", "class word", "mask", "subject description")
    defaults: ClassVar[Mapping[str, Any]] = {"learning_rate": 3e-4, "unet": "full", "reference": "same"}

    def __init__(self, saved: Saved, frozen: Frozen) -> None:
        super().__init__(saved, frozen)
        width = frozen.text_width
        self.qformer = Blip2QFormerModel(
            Blip2QFormerConfig(
                hidden_size=width, num_hidden_layers=_LAYERS, num_attention_heads=_HEADS, intermediate_size=4 * width,
                cross_attention_frequency=1, encoder_hidden_size=frozen.clip_width, use_qformer_text_input=True,
            )
        )  # fmt: skip
        self.queries = nn.Parameter(0.02 * torch.randn(1, _QUERIES, width))
        self.text_in = nn.Linear(width, width)
        self.normed = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), ACT2FN["quick_gelu"], nn.Linear(4 * width, width))
        self.drop = nn.Dropout(0.1)
        self.contrast = nn.ModuleList([nn.Linear(width, width), nn.Linear(width, width)])
        self.matches = nn.Linear(width, 2)

    def gathered(self, images: Sequence[Image.Image], texts: Sequence[str]) -> Tensor:
        """The queries' outputs ``[N, 8, W]``, having read pictures and words."""
        states = self.frozen.look(images).states[-2]
        tokenizer = self.frozen.diffusion.text.tokenizer
        tokens = tokenizer(list(texts), add_special_tokens=False, padding=True, truncation=True, return_tensors="pt")
        words = self.text_in(self.frozen.vocabulary()[tokens.input_ids.to(states.device)])
        queries = self.queries.expand(len(images), -1, -1)
        seen = torch.cat([torch.ones(len(images), _QUERIES), tokens.attention_mask.float()], dim=1).to(states.device)
        out = self.qformer(
            torch.cat([queries, words], dim=1), query_length=_QUERIES, attention_mask=seen.long(),
            encoder_hidden_states=states,
        )  # fmt: skip
        found: Tensor = out.last_hidden_state[:, :_QUERIES]
        return found

    def words(self, images: Sequence[Image.Image]) -> Tensor:
        """``[N, 8, W]``, for the prompt."""
        found = self.gathered(images, [_CLASS] * len(images))
        words: Tensor = found + self.drop(self.mlp(self.normed(found)))
        return words

    def features(self, shown: Shown) -> Tensor:
        """The words, side by side."""
        return self.words(shown.images).flatten(1)

    def condition(self, shown: Shown, prompts: Sequence[str]) -> Condition:
        """At ``S*`` stands "a [queries] person"."""
        if self.scale == 0:
            return Condition(self.said(prompts))
        return Condition(self._states(prompts, self.words(shown.images)))

    def loss(self, batch: Batch, step: int) -> Parts:
        """Stage one, then stage two."""
        if step < self.config.max_train_steps * _FIRST_SHARE:
            return self._described(batch)
        words = self.words(_pasted(batch.references))
        generator = torch.Generator().manual_seed(int(ids.digest(["drop", self.config.seed, step])[:15], 16))
        kept = (torch.rand(len(words), generator=generator) >= _DROP).to(words.device)[:, None, None]
        states = torch.where(kept, self._states(batch.prompts, words), self.said(batch.prompts))
        predicted = self.denoise(batch, Condition(states))
        return {"noise": F.mse_loss(predicted, self.wanted(batch))}

    def resting(self, step: int) -> list[nn.Parameter]:
        """Stage one leaves the UNet alone."""
        first = step < self.config.max_train_steps * _FIRST_SHARE
        return [value for name, value in self.trained().items() if first and name.startswith("unet.")]

    def _described(self, batch: Batch) -> Parts:
        """Contrast and matching of pictures and descriptions."""
        images, texts = batch.references.images, batch.descriptions
        seen = F.normalize(self.contrast[0](self.gathered(images, [_CLASS] * len(images))), dim=-1)
        said = F.normalize(self.contrast[1](self.frozen.diffusion.prompt_features(texts).float()), dim=-1)
        likeness = torch.einsum("nqw,mw->nmq", seen, said).amax(dim=-1) / _TEMPERATURE
        same = (batch.subjects[:, None] == batch.subjects).float()
        target = same / same.sum(dim=1, keepdim=True)
        contrast = (F.cross_entropy(likeness, target) + F.cross_entropy(likeness.T, target)) / 2
        others = [texts[(number + len(texts) // 2) % len(texts)] for number in range(len(texts))]
        logits = self.matches(self.gathered([*images, *images], [*texts, *others]).mean(dim=1))
        right = torch.tensor([1] * len(texts) + [int(a == b) for a, b in zip(texts, others, strict=True)])
        return {"contrast": contrast, "matching": F.cross_entropy(logits, right.to(logits.device))}

    def _states(self, prompts: Sequence[str], words: Tensor) -> Tensor:
        said = [prompt.replace(PLACEHOLDER, f"a {PLACEHOLDER} {_CLASS}") for prompt in prompts]
        return self.with_words(said, words)


def _pasted(shown: Shown) -> list[Image.Image]:
    """Each subject before the next one's background, that one's person painted over with its mean colour."""
    pixels = np.stack([np.asarray(image) for image in shown.images])
    masks = np.asarray(shown.masks)[..., None]
    around = (pixels * ~masks).sum(axis=(1, 2), keepdims=True) / np.maximum((~masks).sum(axis=(1, 2), keepdims=True), 1)
    empty = np.where(masks, around, pixels)
    return [Image.fromarray(each) for each in np.where(masks, pixels, np.roll(empty, 1, axis=0)).astype(np.uint8)]
