"""The leakage matrix: from each feature, how much of each factor can be read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spotdiff_model.evaluation.features import Features
from spotdiff_model.evaluation.probes.factors import FactorLabels
from spotdiff_model.evaluation.probes.folds import Split, TooFewError, folds_for
from spotdiff_model.evaluation.probes.probes import Kind, Score, accuracy, keypoint_r2

TARGETS = ("subject", "pose", "background", "pose_id")
"""Read as: subject id (accuracy), keypoints (R2), background id (accuracy), pose id (accuracy)."""
MATRIX = ("subject", "pose", "background")
_FACTOR = {"subject": "subject", "pose": "pose", "background": "background", "pose_id": "pose"}
TOLERANCE = 0.05
"""Of the picture's side, within which a predicted keypoint counts as right."""

Matrix = dict[str, dict[str, Score | None]]
"""Score by feature and target; None where the split holds too few groups."""


@dataclass(frozen=True)
class LeakageSettings:
    """Size of the effort.

    Attributes:
        folds: For pose and background, at most.
        crossed_folds: Of poses and of backgrounds, for subjects.
        max_rows: Rows that are probed; a seeded draw where there are more.
        kind: Of the probes.
        targets: What is read.
        permuted: Whether the labels are permuted among the pictures, as a control: then there is nothing to be read.
    """

    folds: int = 5
    crossed_folds: int = 3
    max_rows: int = 2000
    kind: Kind = "linear"
    targets: tuple[str, ...] = TARGETS
    permuted: bool = False


def leakage(features: Features, factors: FactorLabels, settings: LeakageSettings, seed: int) -> Matrix:
    """Probes every feature for every target.

    Args:
        features: Of N pictures.
        factors: Of the same pictures.
        settings: Size of the effort.
        seed: Settles the draw of rows, the folds and the networks' first weights.
    """
    if len(factors) > settings.max_rows:
        rows = np.sort(np.random.default_rng(seed).choice(len(factors), settings.max_rows, replace=False))
        features, factors = features[rows], factors[rows]
    folds = {target: _folds(target, factors, settings, seed) for target in settings.targets}
    # the folds are those of the true labels: only what is asked for is mixed up
    asked = factors[np.random.default_rng([seed, 1]).permutation(len(factors))] if settings.permuted else factors
    return {
        name: {
            target: _score(feature, target, asked, folds[target], settings.kind, seed) for target in settings.targets
        }
        for name, feature in features.named().items()
    }


def attribute_transfer(
    fit: tuple[Features, FactorLabels], test: tuple[Features, FactorLabels], settings: LeakageSettings, seed: int
) -> dict[str, Score]:
    """Subject attributes read from the subject feature on subjects, poses and backgrounds that no probe ever saw.

    Probes are fitted on one split (the training one) and tested on another. Attributes that have one value only in
    either are left out.

    Returns:
        Accuracy by attribute; empty where the bank's attributes are not known.
    """
    rows = np.random.default_rng(seed).permutation(len(fit[1]))[: settings.max_rows]
    known, asked = fit[1][rows], test[1]
    feature = np.concatenate([fit[0].subject[rows], test[0].subject]).astype(np.float64)
    fold = (np.arange(len(rows)), np.arange(len(rows), len(feature)))
    found = {}
    for name in sorted(known.attributes.keys() & asked.attributes.keys()):
        labels = np.concatenate([known.attributes[name], asked.attributes[name]])
        if min(len(set(known.attributes[name])), len(set(asked.attributes[name]))) > 1:
            found[name] = accuracy(feature, labels, [fold], settings.kind, seed)
    return found


def keypoints_within(predicted: np.ndarray, truth: np.ndarray, tolerance: float = TOLERANCE) -> float:
    """Share of the visible keypoints that the pose expert puts within ``tolerance`` of their place.

    Args:
        predicted: ``[N, 18, 3]`` (of which x and y count).
        truth: ``[N, 18, 3]``; confidence 0 = not visible, not counted.
        tolerance: In picture sides.
    """
    seen = truth[..., 2] > 0
    near = np.linalg.norm(predicted[..., :2] - truth[..., :2], axis=-1) <= tolerance
    return float((near & seen).sum() / max(1, seen.sum()))


def _folds(target: str, factors: FactorLabels, settings: LeakageSettings, seed: int) -> list[Split] | None:
    count = settings.crossed_folds if target == "subject" else settings.folds
    try:
        return folds_for(_FACTOR[target], factors, count, seed)
    except TooFewError:
        return None


def _score(
    feature: np.ndarray, target: str, factors: FactorLabels, folds: list[Split] | None, kind: Kind, seed: int
) -> Score | None:
    labels = getattr(factors, _FACTOR[target])
    if folds is None or len(np.unique(labels)) < 2:
        return None
    if any(len(np.unique(labels[fit])) < 2 for fit, _ in folds):
        return None
    if target == "pose":
        return keypoint_r2(feature, factors.keypoints, factors.subject, folds, kind, seed)
    return accuracy(feature, labels, folds, kind, seed)
