"""Small layers of which experts and heads are made. Their attributes are keys of saved weights."""

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

    def forward(self, tokens_NTI: Tensor) -> Tensor:
        """``[N, T, W]``."""
        mixed_NTW = F.gelu(self.mix(tokens_NTI))
        return self.norm(mixed_NTW + F.gelu(self.deep(mixed_NTW)))


class AttentionPooling(nn.Module):
    """Learned queries, each of which gathers what it looks for wherever it stands."""

    def __init__(self, width: int, queries: int, out: int) -> None:
        super().__init__()
        self.scores = nn.Linear(width, queries)
        self.values = nn.Linear(width, width)
        self.out = nn.Sequential(nn.Linear(queries * width, 2 * out), nn.GELU(), nn.Linear(2 * out, out))

    def forward(self, tokens_NTW: Tensor) -> Tensor:
        """``[N, D]``."""
        attention_NTQ = self.scores(tokens_NTW).softmax(dim=1)
        pooled_NQW = torch.einsum("ntq,ntw->nqw", attention_NTQ, self.values(tokens_NTW))
        return self.out(pooled_NQW.flatten(1))


class Neighbours(nn.Module):
    """A residual 3 x 3 convolution over the patches' grid."""

    def __init__(self, width: int, grid: int) -> None:
        super().__init__()
        self.grid = grid
        self.mix = nn.Conv2d(width, width, 3, padding=1)
        self.norm = nn.LayerNorm(width)

    def forward(self, patches_NPW: Tensor) -> Tensor:
        """``[N, P, W]``."""
        mixed = self.mix(patches_NPW.transpose(1, 2).unflatten(2, (self.grid, self.grid)))
        return self.norm(patches_NPW + F.gelu(mixed).flatten(2).transpose(1, 2))
