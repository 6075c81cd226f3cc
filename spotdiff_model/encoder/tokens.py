"""From CLIP's hidden states to what the experts work on."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Stem(nn.Module):
    """Two layers that see each token by itself, so that what is learned at one place holds at all places."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.mix = nn.Linear(inputs, width)
        self.deep = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        """``[N, T, width]`` of tokens ``[N, T, inputs]``."""
        mixed = F.gelu(self.mix(tokens))
        return self.norm(mixed + F.gelu(self.deep(mixed)))


class AttentionPooling(nn.Module):
    """Learned queries, each of which gathers what it looks for wherever it stands."""

    def __init__(self, width: int, queries: int, out: int) -> None:
        super().__init__()
        self.scores = nn.Linear(width, queries)
        self.values = nn.Linear(width, width)
        self.out = nn.Sequential(nn.Linear(queries * width, 2 * out), nn.GELU(), nn.Linear(2 * out, out))

    def forward(self, tokens: Tensor) -> Tensor:
        """``[N, out]`` of tokens ``[N, T, width]``."""
        attention = self.scores(tokens).softmax(dim=1)
        pooled = torch.einsum("ntq,ntw->nqw", attention, self.values(tokens))
        return self.out(pooled.flatten(1))


class Neighbours(nn.Module):
    """A residual 3 x 3 convolution over the patches' grid."""

    def __init__(self, width: int, grid: int) -> None:
        super().__init__()
        self.grid = grid
        self.mix = nn.Conv2d(width, width, 3, padding=1)
        self.norm = nn.LayerNorm(width)

    def forward(self, patches: Tensor) -> Tensor:
        """``[N, grid * grid, width]`` of the same."""
        mixed = self.mix(patches.transpose(1, 2).unflatten(2, (self.grid, self.grid)))
        return self.norm(patches + F.gelu(mixed).flatten(2).transpose(1, 2))
