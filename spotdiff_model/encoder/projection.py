"""Takes out of the subject feature what pose and background features tell about it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_MOMENTUM = 0.02
_RIDGE = 1e-3


class SpanRemoval(nn.Module):
    """Centres f_s and projects it off the directions in which it goes with f_p and f_b.

    These are the canonical directions of the two whose correlation is above a threshold: no linear map then reads from
    f_s what the experts have spotted. The projection is LEACE's (Belrose et al. 2023), with learned concepts in place
    of labels: the one that changes f_s least. It only ever takes away. Subtracting a regression of f_s on f_p and f_b
    would do the same on the training data, but adds to f_s what the experts say of backgrounds never seen before.

    The moments run along in training and are fitted exactly at its end. Centred features do not collapse: a fresh
    head's are all nearly the same, and contrast has no gradient there.
    """

    def __init__(self, interference: int, subject: int, threshold: float = 0.8) -> None:
        """An identity until moments are there.

        Args:
            interference: Width of f_p and f_b together; 0: f_s is only centred.
            subject: Width of f_s.
            threshold: Canonical correlations up to this are left: some are there by chance, the more so the fewer
                subjects and backgrounds a dataset has.
        """
        super().__init__()
        both = interference + subject
        self.interference, self.threshold = interference, threshold
        self.register_buffer("mean", torch.zeros(both))
        self.register_buffer("second", torch.zeros(both, both))  # running E[x x^T] of x = (f_p, f_b, f_s)
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("removed", torch.zeros(subject, subject))

    def forward(self, subject: Tensor) -> Tensor:
        """``[N, subject]`` of features ``[N, subject]``."""
        centred = subject - self.mean[self.interference :]
        return centred - centred @ self.removed

    @torch.no_grad()
    def update(self, subject: Tensor, interference: Tensor) -> None:
        """Lets the moments run along by one batch (of all devices together)."""
        x = torch.cat([interference, subject], dim=1).float()
        self.seen += 1
        # an ordinary mean at first, then an exponential one
        share = max(_MOMENTUM, 1.0 / float(self.seen))
        self.mean.lerp_(x.mean(dim=0), share)
        self.second.lerp_(x.T @ x / len(x), share)
        if self.seen * _MOMENTUM >= 1:  # before, correlations are mostly chance
            self._solve()

    @torch.no_grad()
    def fit(self, subject: Tensor, interference: Tensor) -> None:
        """Sets the moments to those of these features (of the whole training split)."""
        x = torch.cat([interference, subject], dim=1).double()
        self.mean.copy_(x.mean(dim=0))
        self.second.copy_(x.T @ x / len(x))
        self._solve()

    def _solve(self) -> None:
        n = self.interference
        if not n:
            return
        covariance = self.second.double() - torch.outer(self.mean, self.mean).double()
        whiten, colour = _roots(covariance[n:, n:])
        correlations = whiten @ covariance[n:, :n] @ _roots(covariance[:n, :n])[0]
        directions, strengths, _ = torch.linalg.svd(correlations, full_matrices=False)
        spanned = directions[:, strengths > self.threshold]
        self.removed.copy_((colour @ spanned @ spanned.T @ whiten).T)


def _roots(covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Inverse square root and square root of a covariance, with a little added to its diagonal."""
    ridge = _RIDGE * covariance.diagonal().mean().clamp(min=1e-8)
    values, vectors = torch.linalg.eigh(covariance + ridge * torch.eye(len(covariance)).to(covariance))
    roots = values.clamp(min=1e-12).sqrt()
    return vectors / roots @ vectors.T, vectors * roots @ vectors.T
