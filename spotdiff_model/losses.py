"""The parts of the loss (our reconstruction), each a function of plain tensors. N pictures, D dimensions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_REACH = 1.6
"""Patches around a joint that have to know where it is: a joint is often seen best from the patch beside it."""


def noise_prediction(predicted: Tensor, wanted: Tensor) -> Tensor:
    """Mean squared error of the UNet's prediction ``[B, C, h, w]``, as in latent diffusion (Rombach et al. 2022)."""
    return F.mse_loss(predicted.float(), wanted.float())


def orthogonality(subject: Tensor, *others: Tensor) -> Tensor:
    """Mean squared cosine between each picture's f_s ``[N, D]`` and its other features ``[N, D']``.

    Features of different widths are compared over the dimensions that both have. Small values prove little: see
    :func:`cross_covariance` for what a linear probe would find.
    """
    parts = []
    for other in others:
        width = min(subject.shape[1], other.shape[1])
        parts.append(F.cosine_similarity(subject[:, :width], other[:, :width], dim=1).square().mean())
    return torch.stack(parts).mean()


def keypoint_regression(found: Tensor, wanted: Tensor) -> Tensor:
    """Smooth L1 of the visible joints' places, and cross-entropy of which are visible.

    Args:
        found: ``[N, 18, 3]``: x, y in 0..1, visibility (its probability).
        wanted: ``[N, 18, 3]``: x, y, confidence; 0 = missing.
    """
    visible = (wanted[..., 2] > 0).float()
    distance = F.smooth_l1_loss(found[..., :2], wanted[..., :2], beta=0.02, reduction="none").sum(dim=-1)
    place = (distance * visible).sum() / visible.sum().clamp(min=1)
    visibility = F.binary_cross_entropy(found[..., 2].clamp(1e-6, 1 - 1e-6), visible)
    return 20 * place + visibility  # in units in which a joint one keypoint tolerance (0.05) off costs about 1


def keypoint_places(log_heatmap: Tensor, wanted: Tensor) -> Tensor:
    """Cross-entropy of which place (patch) holds which joint; a mean of places alone begins very slowly.

    Args:
        log_heatmap: ``[N, side * side, 18]``: logarithm of each place's chance, row by row.
        wanted: ``[N, 18, 3]``: x, y in 0..1, confidence; 0 = missing.
    """
    side = round(log_heatmap.shape[1] ** 0.5)
    cell = (wanted[..., :2] * side).long().clamp(0, side - 1)
    chosen = log_heatmap.gather(1, (cell[..., 1] * side + cell[..., 0])[:, None])[:, 0]
    visible = (wanted[..., 2] > 0).float()
    return -(chosen * visible).sum() / visible.sum().clamp(min=1)


def keypoint_votes(votes: Tensor, wanted: Tensor) -> Tensor:
    """Smooth L1 of where the patches around a joint vote it to be: each of them, not only their mean, is to be right.

    Args:
        votes: ``[N, side * side, 18, 2]``: x, y in 0..1, patches row by row.
        wanted: ``[N, 18, 3]``: x, y, confidence; 0 = missing.
    """
    side = round(votes.shape[1] ** 0.5)
    axis = (torch.arange(side, device=votes.device) + 0.5) / side
    middles = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=-1).reshape(-1, 1, 2)
    places = wanted[:, None, :, :2]
    near = ((places - middles).norm(dim=-1) < _REACH / side) & (wanted[:, None, :, 2] > 0)
    distance = F.smooth_l1_loss(votes, places.expand_as(votes), beta=0.02, reduction="none").sum(dim=-1)
    return 20 * (distance * near).sum() / near.sum().clamp(min=1)


def supervised_contrastive(features: Tensor, labels: Tensor, temperature: float = 0.1) -> Tensor:
    """Supervised contrastive loss (Khosla et al. 2020): features agree for equal labels and differ for others.

    Args:
        features: ``[N, D]``, compared by cosine.
        labels: ``[N]`` integers.
        temperature: Of the softmax over all other pictures.

    Returns:
        Mean over the pictures that share their label with another; 0 where none does.
    """
    unit = F.normalize(features.float(), dim=1)
    itself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    positives = (labels[:, None] == labels) & ~itself
    logits = (unit @ unit.T / temperature).masked_fill(itself, -torch.inf)
    chances = logits - torch.logsumexp(logits, dim=1, keepdim=True)
    count = positives.sum(dim=1)
    per_picture = -chances.masked_fill(~positives, 0).sum(dim=1) / count.clamp(min=1)
    return per_picture[count > 0].mean() if bool((count > 0).any()) else features.sum() * 0


def near_identity(
    features: Tensor, subjects: Tensor, backgrounds: Tensor, temperature: float = 0.07, alpha: float = 0.5
) -> Tensor:
    """NearID's loss (arXiv 2604.01973): InfoNCE whose hard negatives stand on the anchor's own background.

    Args:
        features: ``[N, D]``, compared by cosine.
        subjects, backgrounds: ``[N]`` integers. Positives are pictures of the anchor's subject before another
            background (before any, where there is no other); hard negatives are other subjects before its own.
        temperature: Of the softmax.
        alpha: Weight of the second term, which wants hard negatives, being nearly alike, above random ones.

    Returns:
        Mean over the anchors that have a positive; 0 where none has.
    """
    unit = F.normalize(features.float(), dim=1)
    itself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    same, here = subjects[:, None] == subjects, backgrounds[:, None] == backgrounds
    views = same & ~here
    positives = torch.where(views.any(dim=1, keepdim=True), views, same & ~itself)
    logits = unit @ unit.T / temperature
    others = torch.logsumexp(logits.masked_fill(same, -torch.inf), dim=1, keepdim=True)
    against = F.softplus(others - logits)  # each positive against all other subjects
    counted = positives & torch.isfinite(others)
    identity = (against.masked_fill(~counted, 0).sum(dim=1) / counted.sum(dim=1).clamp(min=1))[counted.any(dim=1)]
    hard, random = ~same & here, ~same & ~here
    far = torch.logsumexp(logits.masked_fill(~random, -torch.inf), dim=1, keepdim=True)
    counted = hard & torch.isfinite(far)
    ranked = (F.softplus(far - logits).masked_fill(~counted, 0).sum(dim=1) / counted.sum(dim=1).clamp(min=1))[
        counted.any(dim=1)
    ]
    nothing = features.sum() * 0
    return (identity.mean() if len(identity) else nothing) + alpha * (ranked.mean() if len(ranked) else nothing)


def cross_covariance(a: Tensor, b: Tensor) -> Tensor:
    """How much of ``a`` ``[N, D]`` and ``b`` ``[N, D']`` is linearly shared: mean squared cross-correlation.

    0 for uncorrelated features. The expectation for independent ones, 1 / N per pair, is taken off.
    """
    n = len(a)
    standard = [(x - x.mean(dim=0)) / x.std(dim=0, correction=0).clamp(min=1e-3) for x in (a.float(), b.float())]
    return ((standard[0].T @ standard[1] / n).square().mean() - 1 / n).clamp(min=0)


def hsic(a: Tensor, b: Tensor) -> Tensor:
    """Normalised Hilbert-Schmidt independence criterion (Gretton et al. 2005; CKA's form), Gaussian kernels.

    Sees dependence that is not linear, too. The bandwidth is the median distance.

    Args:
        a: ``[N, D]``.
        b: ``[N, D']``.

    Returns:
        0 (independent) .. 1 (one determines the distances in the other).
    """
    k, m = (_centred_kernel(x.float()) for x in (a, b))
    return (k * m).sum() / (k.square().sum() * m.square().sum()).sqrt().clamp(min=1e-8)


def text_alignment(found: Tensor, wanted: Tensor, mean: Tensor) -> Tensor:
    """One minus the cosine between text features of prompts with ``S*`` and of those with the subject's description.

    Args:
        found, wanted: ``[N, D]``.
        mean: ``[D]``, of the dataset's prompts. Taken off both, so that what tells prompts apart counts, not what all
            of them share.
    """
    return 1 - F.cosine_similarity(found.float() - mean, wanted.float() - mean, dim=1).mean()


def _centred_kernel(x: Tensor) -> Tensor:
    lengths = x.square().sum(dim=1)
    squared = (lengths[:, None] + lengths - 2 * x @ x.T).clamp(min=0)
    kernel = torch.exp(-squared / squared.detach().median().clamp(min=1e-8))
    return kernel - kernel.mean(dim=0) - kernel.mean(dim=1, keepdim=True) + kernel.mean()
