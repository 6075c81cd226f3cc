"""From the subject feature to pseudo-words in the frozen text encoder's token embeddings."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Aligner(nn.Module):
    """k words, each a mean word plus a function of the subject feature.

    Attributes:
        mean: Where words begin; :meth:`start_at` sets it to the middle of the vocabulary.
        scale: How far words move from there, per channel.
    """

    def __init__(self, subject: int, words: int, word_dim: int) -> None:
        super().__init__()
        self.words, self.word_dim = words, word_dim
        hidden = 4 * subject
        self.hidden = nn.Sequential(nn.Linear(subject, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU())
        self.out = nn.Linear(hidden, words * word_dim)
        self.mean = nn.Parameter(torch.zeros(words, word_dim))
        self.scale = nn.Parameter(torch.full((word_dim,), 0.02))

    def forward(self, subject: Tensor) -> Tensor:
        """``[N, words, word_dim]`` of subject features ``[N, subject]``."""
        moved = self.out(self.hidden(F.layer_norm(subject, subject.shape[-1:])))
        return self.mean + self.scale * moved.unflatten(-1, (self.words, self.word_dim))

    @torch.no_grad()
    def start_at(self, vocabulary: Tensor) -> None:
        """Begins among the words ``[V, word_dim]`` that the text encoder knows."""
        self.mean.copy_(vocabulary.mean(dim=0).expand_as(self.mean))
        self.scale.copy_(vocabulary.std(dim=0))
