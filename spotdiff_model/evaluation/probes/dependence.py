"""Dependence between features: distance correlation with permutation p-values, and |cos| beside it.

Distance correlation (Székely, Rizzo and Bakirov 2007), in the bias-corrected form of Székely and Rizzo (2013): 0 in
expectation for independent features whatever their widths, where the plain one grows with the width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.spatial.distance import pdist, squareform

from spotdiff_model.evaluation.features import Features

COSINE_REMARK = (
    "Per-sample |cos| proves little: with f_p = [pose, 0] and f_s = [0, pose, subject] it is 0 in every sample, and "
    "the pose can be read from f_s without error."
)


@dataclass(frozen=True)
class Dependence:
    """Of two features.

    Attributes:
        distance_correlation: Bias-corrected and squared: 0 = independent, 1 = one determines the other up to scale and
            rotation; may be slightly negative.
        p_value: Share of row permutations with at least this value (the unpermuted one counted in).
        cosine: Mean |cos| over the pictures where the features are of one width, else None.
    """

    distance_correlation: float
    p_value: float
    cosine: float | None


def dependence(
    a: np.ndarray, b: np.ndarray, *, permutations: int = 199, max_rows: int = 500, seed: int = 0
) -> Dependence:
    """Distance correlation of two features.

    Args:
        a: ``[N, Da]``.
        b: ``[N, Db]``, of the same pictures.
        permutations: For the p-value; its smallest is ``1 / (permutations + 1)``.
        max_rows: A seeded draw of so many pictures where there are more (memory and time grow with the square).
        seed: Of the draw and the permutations.
    """
    rng = np.random.default_rng(seed)
    cosine = mean_cosine(a, b)
    if len(a) > max_rows:
        rows = rng.choice(len(a), max_rows, replace=False)
        a, b = a[rows], b[rows]
    da, db = _centred(a), _centred(b)
    scale = np.sqrt((da * da).sum() * (db * db).sum())
    if scale <= 0:
        return Dependence(0.0, 1.0, cosine)
    found = float((da * db).sum())
    count = 1
    for _ in range(permutations):
        order = rng.permutation(len(db))
        count += float((da * db[np.ix_(order, order)]).sum()) >= found
    return Dependence(found / scale, count / (permutations + 1), cosine)


def dependences(features: Features, seed: int = 0, permutations: int = 199) -> Mapping[tuple[str, str], Dependence]:
    """Every pair of features that are there, e.g. ``("subject", "pose")``."""
    named = features.named()
    return {
        (one, other): dependence(named[one], named[other], seed=seed, permutations=permutations)
        for one, other in combinations(named, 2)
    }


def mean_cosine(a: np.ndarray, b: np.ndarray) -> float | None:
    """Mean over the pictures of |cos| between the two features; None for features of different widths."""
    if a.shape[1] != b.shape[1]:
        return None
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(np.abs((a * b).sum(axis=1) / np.maximum(norms, 1e-12)).mean())


def _centred(feature: np.ndarray) -> np.ndarray:
    """U-centred distances ``[N, N]``, zero on the diagonal."""
    distances = squareform(pdist(np.asarray(feature, np.float64)))
    count = len(distances)
    rows = distances.sum(axis=1) / (count - 2)
    centred = distances - rows[:, None] - rows[None, :] + distances.sum() / ((count - 1) * (count - 2))
    np.fill_diagonal(centred, 0.0)
    return centred
