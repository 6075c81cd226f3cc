"""The experts, which spot what is not the subject, and the head that reads the subject. Our reconstruction."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spotdiff_model.encoder.tokens import AttentionPooling, Neighbours, Stem

JOINTS = 18
_SHARPNESS = 2.0
"""How much more the likeliest patches count for a joint's place than their chances say: means blur."""


class Pose(NamedTuple):
    """What the pose expert sees in N pictures of P = grid * grid patches.

    Attributes:
        feature: f_p ``[N, out]``.
        keypoints: ``[N, 18, 3]``: x, y in 0..1, probability of being there.
        heat: ``[N, P, 18]``: logarithm of how likely which patch holds a joint, row by row.
        spots: ``[N, P, 18, 2]``: where each patch takes a joint to be, x and y in image sides.
    """

    feature: Tensor
    keypoints: Tensor
    heat: Tensor
    spots: Tensor


class PoseExpert(nn.Module):
    """Finds the keypoints by place, and makes f_p of nothing else.

    Each patch, with its neighbours, says how likely it holds which joint, and where exactly the joint is; a joint is
    the mean of what the likeliest patches say. What is learned at one place holds everywhere, so that a few dozen poses
    teach much, where a regression from the whole picture would learn them by heart.
    """

    def __init__(self, inputs: int, width: int, grid: int, out: int) -> None:
        super().__init__()
        self.grid, self.out = grid, out
        self.stem = Stem(inputs, width)
        self.around = nn.Sequential(*(Neighbours(width, grid) for _ in range(3)))
        self.heat = nn.Linear(width, JOINTS)
        self.offset = nn.Linear(width, JOINTS * 2)
        self.there = nn.Parameter(
            torch.tensor([[0.0], [-1.0]]).repeat(1, JOINTS)
        )  # log scale and shift of the evidence
        self.embed = nn.Linear(3 * JOINTS, max(out - 3 * JOINTS, 1))
        lines = (torch.arange(grid) + 0.5) / grid
        places = torch.stack(torch.meshgrid(lines, lines, indexing="xy"), dim=-1).reshape(-1, 1, 2)
        self.register_buffer("places", places, persistent=False)

    def forward(self, tokens: Tensor) -> Pose:
        """What is seen of the pose in tokens ``[N, 1 + grid * grid, inputs]``; the first has no place, is not used."""
        patches = self.around(self.stem(tokens)[:, 1:])
        evidence = self.heat(patches).float()
        spots = self.places + self.offset(patches).float().unflatten(2, (JOINTS, 2)) / self.grid
        chances = (_SHARPNESS * evidence).softmax(dim=1)
        where = torch.einsum("npj,npjc->njc", chances, spots)
        there = torch.sigmoid(self.there[0].exp() * torch.logsumexp(evidence, dim=1) + self.there[1])
        keypoints = torch.cat([where, there[..., None]], dim=-1)
        return Pose(self._feature(keypoints), keypoints, evidence.log_softmax(dim=1), spots)

    def _feature(self, keypoints: Tensor) -> Tensor:
        """The places as they are, to be read linearly, and bent ones, so that the removal also takes out curves."""
        where, there = keypoints[..., :2], keypoints[..., 2:]
        flat = torch.cat([(where - 0.5) * there * 4, there * 2 - 1], dim=-1).flatten(1)
        return torch.cat([flat, torch.sin(2 * self.embed(flat))], dim=-1)[:, : self.out]


class BackgroundExpert(nn.Module):
    """A stem and an attention pooling, and CLIP's own summary by a linear map."""

    def __init__(self, inputs: int, width: int, queries: int, out: int) -> None:
        super().__init__()
        self.stem = Stem(inputs, width)
        self.pool = AttentionPooling(width, queries, out)
        self.summary = nn.Linear(inputs, out)

    def forward(self, tokens: Tensor) -> Tensor:
        """``[N, out]`` of tokens ``[N, T, inputs]``; each feature has mean square 1."""
        pooled = self.pool(self.stem(tokens)) + self.summary(tokens[:, 0])
        return F.rms_norm(pooled, pooled.shape[-1:])


class SubjectHead(nn.Module):
    """Reads the subject where the pose expert has found its joints.

    One summary per joint, so that what is worn at the shoulders or the knees stands at the same place of the feature
    whatever the pose, as in re-identification with pose-guided parts (PDC, Su et al. 2017). Without a pose expert
    attention has to find the subject by itself.
    """

    def __init__(self, inputs: int, width: int, grid: int, queries: int, out: int, guided: bool) -> None:
        super().__init__()
        self.guided = guided
        self.stem = Stem(inputs, width)
        self.around = Neighbours(width, grid)
        part = max(width // 2, 8)
        if guided:
            self.values = nn.Linear(width, part)
            self.join = nn.Sequential(nn.Linear(JOINTS * (part + 1), 2 * out), nn.GELU(), nn.Linear(2 * out, out))
        else:
            self.pool = AttentionPooling(width, queries, out)

    def forward(self, tokens: Tensor, shares: Tensor, there: Tensor) -> Tensor:
        """``[N, out]``; each feature has mean square 1.

        Args:
            tokens: ``[N, 1 + grid * grid, inputs]``.
            shares: ``[N, grid * grid, 18]``: how likely which patch holds a joint.
            there: ``[N, 18]``: how likely a joint is there at all.
        """
        patches = self.around(self.stem(tokens)[:, 1:])
        if self.guided:
            # the pose expert learns from keypoints alone
            weights, there = shares.detach(), there.detach()[..., None]
            parts = torch.einsum("npj,npw->njw", weights, self.values(patches)) * there
            pooled = self.join(torch.cat([parts, there], dim=-1).flatten(1))
        else:
            pooled = self.pool(patches)
        return F.rms_norm(pooled, pooled.shape[-1:])
