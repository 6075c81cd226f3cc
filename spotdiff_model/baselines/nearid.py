"""NearID-mini (our reimplementation; Gorluxor/NearID, arXiv 2604.01973, Apache-2.0): the rival to fear.

Kept: a frozen vision encoder, a trained attention-pooling head on its tokens, one contrastive loss (InfoNCE at .07)
whose hard negatives are *other subjects on the anchor's own background*, and a half-weighted term that ranks those
above random ones. No experts, no keypoints, no text.

Reduced: the head is one layer of eight learned queries instead of 15 M parameters; batches of tens, not 128; SigLIP or
CLIP-L becomes the miniature CLIP's last layers.

Added by us, for pictures: NearID is a metric and draws nothing. An aligner of the size of ours turns its feature, held
fixed, into eight pseudo-words, trained by the noise prediction loss alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from spotdiff_model.baselines.baseline import Baseline, Condition, Parts
from spotdiff_model.baselines.config import Saved
from spotdiff_model.baselines.data import Batch, Shown
from spotdiff_model.baselines.frozen import Frozen
from spotdiff_model.layers import AttentionPooling, Stem
from spotdiff_model.losses import near_identity
from spotdiff_model.model import Aligner

_LAYERS = (2, -1)
"""Half-way and last, as shares of the depth say; the head may choose."""
_WIDTH, _QUERIES, _OUT, _WORDS = 96, 8, 128, 8


class NearID(Baseline):
    title = "NearID-mini (our reimplementation)"
    reads = ("ids", "captions")
    defaults: ClassVar[Mapping[str, Any]] = {"learning_rate": 1e-3, "train_batch_size": 32, "unet": "frozen"}

    def __init__(self, saved: Saved, frozen: Frozen) -> None:
        super().__init__(saved, frozen)
        self.stem = Stem(len(_LAYERS) * frozen.clip_width, _WIDTH)
        self.pool = AttentionPooling(_WIDTH, _QUERIES, _OUT)
        self.aligner = Aligner(_OUT, _WORDS, frozen.text_width)
        self.aligner.start_at(frozen.vocabulary())

    def features(self, shown: Shown) -> Tensor:
        """The pooled tokens ``[N, 128]``; only their direction counts."""
        states = self.frozen.look(shown.images).states
        chosen = [states[layer if layer < len(states) - 1 else -1] for layer in _LAYERS]
        tokens = torch.cat([F.layer_norm(state, state.shape[-1:]) for state in chosen], dim=-1)
        pooled: Tensor = self.pool(self.stem(tokens))
        return pooled

    def condition(self, shown: Shown, prompts: Sequence[str]) -> Condition:
        """Pseudo-words at ``S*``."""
        return self._words(self.features(shown), prompts)

    def loss(self, batch: Batch, step: int) -> Parts:
        """The contrast of references and targets, and the aligner's noise prediction."""
        ours = self.features(batch.references)
        both = torch.cat([ours, self.features(batch.targets)])
        subjects = batch.subjects.repeat(2)
        contrast = near_identity(both, subjects, torch.cat([batch.backgrounds, batch.target_backgrounds]))
        predicted = self.denoise(batch, self._words(ours.detach(), batch.prompts))
        return {"contrast": contrast, "noise": F.mse_loss(predicted, self.wanted(batch))}

    def _words(self, features: Tensor, prompts: Sequence[str]) -> Condition:
        words: Any = self.aligner(features)
        return Condition(self.with_words(prompts, words))
