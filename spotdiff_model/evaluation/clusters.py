"""Errors that are clustered by subject: forty pictures of ten subjects are ten observations, not forty."""

from __future__ import annotations

import numpy as np

ERROR = "_error"
"""Ends the key of a metric's standard error."""


def error_key(key: str) -> str:
    """The key of a metric's standard error, clustered by subject."""
    return f"{key}{ERROR}"


def clustered_error(values: np.ndarray, clusters: np.ndarray) -> float | None:
    """Standard error of a mean whose observations go together within clusters (Liang and Zeger 1986, CR1).

    Args:
        values: ``[N]``.
        clusters: ``[N]`` names, here of subjects.

    Returns:
        None for fewer than two clusters, of which nothing can be said.
    """
    _, numbers = np.unique(clusters, return_inverse=True)
    count = int(numbers.max()) + 1 if len(numbers) else 0
    if count < 2:
        return None
    sums = np.bincount(numbers.reshape(-1), weights=np.asarray(values, np.float64) - np.mean(values))
    return float(np.sqrt(count / (count - 1) * (sums**2).sum()) / len(values))
