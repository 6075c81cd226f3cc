"""IP-Adapter-mini, plain and plus (our reimplementation; tencent-ailab/IP-Adapter, Apache-2.0).

Kept: CLIP's pooled, projected embedding -> linear -> 4 tokens + LayerNorm (plain); the last but one hidden states ->
resampler (plus); both behind the text encoder, with new keys and values in every cross-attention, initialised from the
text's, ``text + scale * image``; conditions dropped exclusively: image .05, text .05, both .05, the image by zeroing
its embedding. diffusers' own projections and attention processors.

Reduced: resampler of depth 2, 8 queries. Native means reference = target, as the authors do, with the limit that they
grant. Unknown: nothing that matters here.

``scale`` is the method's own; a sweep over it is part of the method.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from diffusers.models.embeddings import ImageProjection, IPAdapterPlusImageProjection
from torch import Tensor, nn

from pipeline import ids
from spotdiff_model.baselines.baseline import Baseline, Condition
from spotdiff_model.baselines.config import Saved
from spotdiff_model.baselines.data import Batch, Shown
from spotdiff_model.baselines.decoupled import install, set_scales
from spotdiff_model.baselines.frozen import Frozen

_DROP = 0.05
"""Chance of each of: no image, no text, neither."""


class IPAdapter(Baseline):
    title = "IP-Adapter-mini (our reimplementation)"
    reads = ("captions", "class word")
    defaults: ClassVar[Mapping[str, Any]] = {"learning_rate": 1e-3, "unet": "frozen", "reference": "same"}
    tokens = 4

    def __init__(self, saved: Saved, frozen: Frozen) -> None:
        super().__init__(saved, frozen)
        self.project = self._projection(frozen)
        self.processors = install(self.unet, [self.tokens])

    def features(self, shown: Shown) -> Tensor:
        """The image tokens, side by side."""
        return self.image_tokens(shown).flatten(1)

    def image_tokens(self, shown: Shown, kept: Tensor | None = None) -> Tensor:
        """``[N, n, D]``; where ``kept`` ``[N]`` is 0, of a zeroed embedding."""
        seen = self._seen(shown)
        if kept is not None:
            seen = seen * kept.view(-1, *[1] * (seen.ndim - 1))
        tokens: Tensor = self.project(seen)
        return tokens

    def condition(self, shown: Shown, prompts: Sequence[str]) -> Condition:
        """The class noun in the text; the subject beside it."""
        set_scales(self.processors, [self.scale])
        return Condition(self.said(prompts), (self.image_tokens(shown)[:, None],))

    def training_condition(self, batch: Batch, step: int) -> Condition:
        """At full strength, with conditions dropped, of each picture by itself."""
        set_scales(self.processors, [1.0])
        generator = torch.Generator().manual_seed(int(ids.digest(["drop", self.config.seed, step])[:15], 16))
        draw = torch.rand(len(batch.prompts), generator=generator)
        image = ((draw >= _DROP) & ~((draw >= 2 * _DROP) & (draw < 3 * _DROP))).float().to(self.frozen.device)
        prompts = [
            "" if _DROP <= float(value) < 3 * _DROP else prompt
            for value, prompt in zip(draw, batch.prompts, strict=True)
        ]
        return Condition(self.said(prompts), (self.image_tokens(batch.references, image)[:, None],))

    def unconditional(self, count: int, condition: Condition) -> Condition:
        """No text, and the tokens of a zeroed embedding."""
        negative = super().unconditional(count, condition).states
        nothing = torch.zeros(count, *self._shape, device=self.frozen.device)
        return Condition(negative, (self.project(nothing)[:, None],))

    def _projection(self, frozen: Frozen) -> nn.Module:
        self._shape: tuple[int, ...] = (frozen.clip.model.config.projection_dim,)
        return ImageProjection(self._shape[0], frozen.text_width, self.tokens)

    def _seen(self, shown: Shown) -> Tensor:
        return self.frozen.look(shown.images).embedding


class IPAdapterPlus(IPAdapter):
    title = "IP-Adapter-plus-mini (our reimplementation)"
    tokens = 8

    def _projection(self, frozen: Frozen) -> nn.Module:
        self._shape = (1 + frozen.clip_grid**2, frozen.clip_width)
        width = frozen.text_width
        return IPAdapterPlusImageProjection(
            embed_dims=frozen.clip_width, output_dims=width, hidden_dims=width, depth=2, dim_head=width // 4, heads=4,
            num_queries=self.tokens,
        )  # fmt: skip

    def _seen(self, shown: Shown) -> Tensor:
        return self.frozen.look(shown.images).states[-2]
