"""Probes: what can be read off a feature of features by a linear model, or by a small network.

scikit-learn pipelines with standardisation inside, so that nothing of a test row reaches the fit.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import GroupKFold
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from spotdiff_model.evaluation.probes.folds import Split

Kind = Literal["linear", "mlp"]
MAX_WIDTH = 256
"""Wider features are probed through so many principal components, fitted on the fit's rows."""
_PENALTIES = np.logspace(0, 5, 11)
_HIDDEN = (64,)


@dataclass(frozen=True)
class Score:
    """What a probe reached.

    Attributes:
        value: R2 or accuracy on held-out rows.
        chance: What ignoring the features reaches: 0 for R2, the commonest class of the fit for accuracy.
    """

    value: float
    chance: float


def accuracy(feature: np.ndarray, labels: np.ndarray, folds: Sequence[Split], kind: Kind, seed: int) -> Score:
    """Share of the test rows whose label is found, over all folds.

    Args:
        feature: ``[N, D]``.
        labels: ``[N]``.
        folds: Row numbers to fit on and to test on.
        kind: Logistic regression, or one hidden layer of 64.
        seed: Of the network's first weights.
    """
    right = by_chance = tested = 0
    for fit, test in folds:
        found = _fitted(_classifier(kind, seed), feature[fit], labels[fit]).predict(feature[test])
        names, counts = np.unique(labels[fit], return_counts=True)
        right += int((found == labels[test]).sum())
        by_chance += int((labels[test] == names[counts.argmax()]).sum())
        tested += len(test)
    commonest = max(by_chance / tested, 1 / len(np.unique(labels)))
    return Score(right / tested, commonest)


def keypoint_r2(
    feature: np.ndarray, keypoints: np.ndarray, groups: np.ndarray, folds: Sequence[Split], kind: Kind, seed: int
) -> Score:
    """Share of the keypoints' variance that is found on test rows, over all folds and visible keypoints.

    The penalty of the ridge regression is chosen by cross-validation inside the fit, over the same groups.

    Args:
        feature: ``[N, D]``.
        keypoints: ``[N, 18, 3]``; those with confidence 0 count neither in the fit's targets (they are given the mean)
            nor in the score.
        groups: ``[N]``: what the folds hold out.
        folds: Row numbers to fit on and to test on.
        kind: Ridge regression, or one hidden layer of 64.
        seed: Of the network's first weights.
    """
    seen = keypoints[..., 2] > 0
    wrong = total = 0.0
    for fit, test in folds:
        mean = _mean_places(keypoints[fit])
        targets = np.where(seen[..., None], keypoints[..., :2], mean).reshape(len(keypoints), -1) - mean.ravel()
        found = _fitted(_regressor(kind, groups[fit], seed), feature[fit], targets[fit]).predict(feature[test])
        counts = np.repeat(seen[test], 2, axis=1)
        wrong += float((((found - targets[test]) ** 2) * counts).sum())
        total += float(((targets[test] ** 2) * counts).sum())
    return Score(1 - wrong / max(total, 1e-12), 0.0)


def _mean_places(keypoints: np.ndarray) -> np.ndarray:
    """``[18, 2]``: where each keypoint is on average where it is visible; the middle if it never is."""
    seen = (keypoints[..., 2:] > 0).astype(np.float64)
    count = seen.sum(axis=0)
    return np.where(count > 0, (keypoints[..., :2] * seen).sum(axis=0) / np.maximum(count, 1), 0.5)


def _classifier(kind: Kind, seed: int) -> Any:
    if kind == "mlp":
        return MLPClassifier(hidden_layer_sizes=_HIDDEN, alpha=1e-2, max_iter=60, random_state=seed)
    return LogisticRegression(C=0.1, max_iter=300, tol=1e-3)


def _regressor(kind: Kind, groups: np.ndarray, seed: int) -> Any:
    if kind == "mlp":
        return MLPRegressor(hidden_layer_sizes=_HIDDEN, alpha=1e-2, max_iter=60, random_state=seed)
    count = min(3, len(np.unique(groups)))
    inner = list(GroupKFold(count).split(groups, groups=groups)) if count > 1 else None
    return RidgeCV(_PENALTIES, cv=inner)


def _fitted(model: Any, feature: np.ndarray, target: np.ndarray) -> Any:
    steps: list[Any] = [StandardScaler()]
    if feature.shape[1] > MAX_WIDTH:
        steps += [PCA(min(MAX_WIDTH, len(feature) - 1), random_state=0), StandardScaler()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a probe is a bounded effort by definition
        return make_pipeline(*steps, model).fit(feature, target)
