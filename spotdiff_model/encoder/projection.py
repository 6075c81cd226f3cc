"""Takes out of the subject feature what pose and background features tell about it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_MOMENTUM = 0.02
_RIDGE = 1e-3


class SpanRemoval(nn.Module):
    """``f_s - E[f_s | f_p, f_b]``, the conditional mean being the best linear one.

    What is left is uncorrelated with every direction in the span of f_p and f_b, so that no linear map reads from it
    what the experts have spotted. (Projecting per sample would leave that readable: EVALUATION of leakage, not of
    cosines, is what counts.) The moments run along in training and are fitted exactly at its end; the same idea as
    LEACE (Belrose et al. 2023), with learned concepts in place of labels.
    """

    def __init__(self, interference: int, subject: int) -> None:
        super().__init__()
        both = interference + subject
        self.interference = interference
        self.register_buffer("mean", torch.zeros(both))
        self.register_buffer("second", torch.zeros(both, both))  # running E[x x^T] of x = (f_p, f_b, f_s)
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("weight", torch.zeros(interference, subject))

    def forward(self, subject: Tensor, interference: Tensor) -> Tensor:
        """``[N, subject]`` of features ``[N, subject]`` and ``[N, interference]``."""
        return subject - (interference - self.mean[: self.interference]) @ self.weight

    @torch.no_grad()
    def update(self, subject: Tensor, interference: Tensor) -> None:
        """Lets the moments run along by one batch (of all devices together)."""
        x = torch.cat([interference, subject], dim=1).float()
        self.seen += 1
        # an ordinary mean at first, then an exponential one
        share = max(_MOMENTUM, 1.0 / float(self.seen))
        self.mean.lerp_(x.mean(dim=0), share)
        self.second.lerp_(x.T @ x / len(x), share)
        self._solve()

    @torch.no_grad()
    def fit(self, subject: Tensor, interference: Tensor) -> None:
        """Sets the moments to those of these features (of the whole training split)."""
        x = torch.cat([interference, subject], dim=1).double()
        self.mean.copy_(x.mean(dim=0))
        self.second.copy_(x.T @ x / len(x))
        self._solve()

    def _solve(self) -> None:
        covariance = self.second.double() - torch.outer(self.mean, self.mean).double()
        n = self.interference
        inner = covariance[:n, :n]
        ridge = _RIDGE * inner.diagonal().mean().clamp(min=1e-8)
        inner = inner + ridge * torch.eye(n, dtype=inner.dtype, device=inner.device)
        self.weight.copy_(torch.linalg.solve(inner, covariance[:n, n:]))
