"""Grouped cross-validation: no probe is tested on what it could have learnt by heart."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from sklearn.model_selection import GroupKFold

from spotdiff_model.evaluation.probes.factors import FactorLabels

Split = tuple[np.ndarray, np.ndarray]
"""Row numbers to fit on and to test on."""


class TooFewError(ValueError):
    """The split holds too few groups for a measure; the message says which."""


def folds_for(target: str, factors: FactorLabels, folds: int, seed: int) -> list[Split]:
    """The splits for probes of one factor.

    For pose and background, subjects are held out: a probe has to read the factor off people whom it has not seen.
    For subjects, poses **and** backgrounds are held out together: rows that share either with a test row are left out
    of the fit, and all pairs of a fold of poses and a fold of backgrounds take their turn.

    Args:
        target: ``subject``, ``pose`` or ``background``.
        factors: Of all rows.
        folds: How many, at most; fewer where there are fewer groups.
        seed: Settles which groups go together.

    Raises:
        TooFewError: Fewer than two groups to hold out.
    """
    if target == "subject":
        return list(_crossed(factors, folds, seed))
    return list(group_folds(factors.subject, folds, seed, "subjects"))


def group_folds(groups: np.ndarray, folds: int, seed: int, what: str) -> Iterator[Split]:
    """Folds that keep each group whole; at most ``folds``, fewer where there are fewer groups.

    Raises:
        TooFewError: There is one group only; ``what`` names the groups in the message.
    """
    count = min(folds, len(np.unique(groups)))
    if count < 2:
        raise TooFewError(f"needs at least two {what}")
    yield from GroupKFold(count, shuffle=True, random_state=seed).split(groups, groups=groups)


def _crossed(factors: FactorLabels, folds: int, seed: int) -> Iterator[Split]:
    poses = _fold_numbers(factors.pose, folds, seed, "poses")
    backgrounds = _fold_numbers(factors.background, folds, seed + 1, "backgrounds")
    for pose in range(poses.max() + 1):
        for background in range(backgrounds.max() + 1):
            test = (poses == pose) & (backgrounds == background)
            fit = (poses != pose) & (backgrounds != background)
            if test.any() and fit.any():
                yield np.flatnonzero(fit), np.flatnonzero(test)


def _fold_numbers(groups: np.ndarray, folds: int, seed: int, what: str) -> np.ndarray:
    numbers = np.zeros(len(groups), int)
    for number, (_, test) in enumerate(group_folds(groups, folds, seed, what)):
        numbers[test] = number
    return numbers
