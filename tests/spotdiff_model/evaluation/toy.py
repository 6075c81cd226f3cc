"""Features made by hand, of which it is known what can be read from them."""

from __future__ import annotations

import numpy as np

from spotdiff_model.evaluation.features import Features
from spotdiff_model.evaluation.probes.factors import FactorLabels


def toy_factors(subjects: int = 6, poses: int = 6, backgrounds: int = 6, seed: int = 0) -> FactorLabels:
    """A whole factorial, shuffled, with random keypoints of which a fifth is not visible."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(range(subjects), range(poses), range(backgrounds), indexing="ij"), -1).reshape(-1, 3)
    grid = rng.permutation(grid)
    keypoints = np.concatenate([rng.random((poses, 18, 2)), np.ones((poses, 18, 1))], axis=2).astype(np.float32)
    keypoints[rng.random((poses, 18)) < 0.2] = 0
    names = [np.char.add(f"{kind}-", grid[:, at].astype(str)) for at, kind in enumerate("spb")]
    shirts = np.where(grid[:, 0] % 2 == 0, "red", "blue")
    return FactorLabels(names[0], names[2], names[1], keypoints[grid[:, 1]], attributes={"shirt_color": shirts})


def code_of(labels: np.ndarray, width: int = 12, seed: int = 0) -> np.ndarray:
    """A random vector per label, ``[N, width]``."""
    _, numbers = np.unique(labels, return_inverse=True)
    return np.random.default_rng([seed, 7]).normal(size=(numbers.max() + 1, width))[numbers]


def perfect(factors: FactorLabels, noise: float = 0.05) -> Features:
    """An encoder as it should be: each feature holds its own factor, a little noise and nothing else."""
    rng = np.random.default_rng(1)
    codes = [code_of(labels, seed=at) for at, labels in enumerate((factors.subject, factors.pose, factors.background))]
    noisy = [code + noise * rng.normal(size=code.shape) for code in codes]
    return Features(*noisy, keypoints=factors.keypoints.copy())


def leaking(factors: FactorLabels, noise: float = 0.05) -> Features:
    """f_p = [pose, 0, 0] and f_s = [0, pose, subject]: orthogonal in every sample, and not clean at all."""
    clean = perfect(factors, noise)
    assert clean.pose is not None and clean.background is not None
    nothing = np.zeros_like(clean.pose)
    return Features(
        np.concatenate([nothing, clean.pose, clean.subject], axis=1),
        np.concatenate([clean.pose, nothing, nothing], axis=1),
        np.concatenate([nothing, nothing, clean.background], axis=1),
    )


def guessing(factors: FactorLabels, width: int = 12, seed: int = 3) -> Features:
    """Random features: they know nothing."""
    rng = np.random.default_rng(seed)
    return Features(*(rng.normal(size=(len(factors), width)) for _ in range(3)))
