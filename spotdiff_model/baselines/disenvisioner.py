"""DisEnvisioner-mini (our reimplementation; EnVision-Research/DisEnvisioner, Apache-2.0, inference code only).

Kept: CLIP patches -> MLP; two queries, one learned and one that begins as CLIP's text embedding of the class word;
attention with its softmax *over the queries*, so that each patch goes to one or the other; two decoder layers; a
subject-essential and an irrelevant token, each widened to 4 tokens with keys and values of its own, as in IP-Adapter;
object at .7, others at 0 when pictures are made. Token 0 is read as the object and token 1, seeded with the class word,
as the others, as in their code; ``swapped`` reads them the other way round, for the name says so.

Reduced: 128 wide; both parts are trained at once. Unknown: how it was trained; ours is the noise prediction loss, with
the irrelevant tokens let in at full strength, so that what is not the subject has somewhere to go.

``scale`` is a factor on the object's .7.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from spotdiff_model.baselines.baseline import Baseline, Condition, Parts
from spotdiff_model.baselines.config import Saved
from spotdiff_model.baselines.data import Batch, Shown
from spotdiff_model.baselines.decoupled import install, set_scales
from spotdiff_model.baselines.frozen import Frozen
from spotdiff_model.evaluation.generation.requests import CLASS_NOUN

_OBJECT = 0.7
_TOKENS = 4
_HEADS = 4


class DisEnvisioner(Baseline):
    title = "DisEnvisioner-mini (our reimplementation)"
    reads = ("captions", "class word")
    defaults: ClassVar[Mapping[str, Any]] = {"learning_rate": 1e-3, "unet": "frozen", "reference": "same"}
    swapped: ClassVar[bool] = False

    def __init__(self, saved: Saved, frozen: Frozen) -> None:
        super().__init__(saved, frozen)
        width = frozen.text_width
        self.patches = nn.Sequential(nn.Linear(frozen.clip_width, width), nn.GELU(), nn.Linear(width, width))
        noun = torch.from_numpy(frozen.clip.text_features([CLASS_NOUN]))[0].to(frozen.device)
        self.class_seed = nn.Linear(len(noun), width)
        self.register_buffer("noun", noun, persistent=False)
        self.query = nn.Parameter(0.02 * torch.randn(width))
        self.normed = nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width))
        self.decoders = nn.ModuleList(
            nn.TransformerDecoderLayer(width, _HEADS, 2 * width, dropout=0.0, batch_first=True) for _ in range(2)
        )
        self.widen = nn.ModuleList(
            nn.Sequential(nn.Linear(width, _TOKENS * width), nn.Unflatten(1, (_TOKENS, width)), nn.LayerNorm(width))
            for _ in range(2)
        )
        self.processors = install(self.unet, [_TOKENS, _TOKENS])

    def split(self, shown: Shown) -> tuple[Tensor, Tensor]:
        """The subject-essential and the irrelevant token, ``[N, D]`` each."""
        patches = self.patches(self.frozen.look(shown.images).states[-1][:, 1:])
        queries = torch.stack([self.query, self.class_seed(self.noun)])
        scores = patches @ queries.T / patches.shape[-1] ** 0.5
        weights = scores.softmax(dim=-1)  # over the queries: every patch is given away whole
        gathered = torch.einsum("npq,npw->nqw", weights / weights.sum(dim=1, keepdim=True), patches)
        tokens = self.normed(gathered + queries)
        for decoder in self.decoders:
            tokens = decoder(tokens, patches)
        first, second = tokens.unbind(dim=1)
        return (second, first) if self.swapped else (first, second)

    def features(self, shown: Shown) -> Tensor:
        """The subject-essential token."""
        return self.split(shown)[0]

    def condition(self, shown: Shown, prompts: Sequence[str]) -> Condition:
        """The class noun in the text, both sets of tokens beside it; their scales say what counts."""
        set_scales(self.processors, [self.scale * _OBJECT, 0.0])
        return self._both(shown, prompts)

    def loss(self, batch: Batch, step: int) -> Parts:
        """With both sets of tokens at full strength."""
        set_scales(self.processors, [1.0, 1.0])
        predicted = self.denoise(batch, self._both(batch.references, batch.prompts))
        return {"noise": nn.functional.mse_loss(predicted, self.wanted(batch))}

    def _both(self, shown: Shown, prompts: Sequence[str]) -> Condition:
        pairs = zip(self.widen, self.split(shown), strict=True)
        return Condition(self.said(prompts), tuple(widen(token)[:, None] for widen, token in pairs))
