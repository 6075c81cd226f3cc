"""The closed-form baseline: CLIP with pose and background erased by LEACE (Belrose et al. 2023, arXiv 2306.03819)."""

from __future__ import annotations

import warnings

import numpy as np

from spotdiff_model.evaluation.probes.factors import FactorLabels


def concepts(factors: FactorLabels) -> np.ndarray:
    """What is to be erased, ``[N, 54 + B]``: keypoints, which of them are visible, and the background one-hot."""
    keypoints = factors.keypoints.reshape(len(factors), -1)
    _, numbers = np.unique(factors.background, return_inverse=True)
    return np.concatenate([keypoints, np.eye(numbers.max() + 1)[numbers]], axis=1)


def erase(fit: np.ndarray, known: np.ndarray, feature: np.ndarray) -> np.ndarray:
    """Removes all that is linearly related to a concept, with the least change in the mean square.

    Args:
        fit: ``[M, D]`` features of the rows whose concepts are known.
        known: ``[M, K]`` their concepts.
        feature: ``[N, D]`` features to erase from.

    Returns:
        ``[N, D]``. On the rows of the fit no linear probe beats a constant.
    """
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # it compiles a helper in a way that torch wants to drop
        from concept_erasure import LeaceEraser

    eraser = LeaceEraser.fit(
        torch.from_numpy(np.asarray(fit, np.float64)),
        torch.from_numpy(np.asarray(known, np.float64)),
        svd_tol=1e-6,
        constrain_cov_trace=False,  # else part of the concept may stay, in favour of smaller features
    )
    erased: np.ndarray = eraser(torch.from_numpy(np.asarray(feature, np.float64))).numpy()
    return erased
