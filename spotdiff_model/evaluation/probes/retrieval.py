"""Retrieval: are two pictures of the same subject nearest neighbours although all else differs?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spotdiff_model.evaluation.clusters import clustered_error
from spotdiff_model.evaluation.features import FACTORS, Features
from spotdiff_model.evaluation.probes.factors import FactorLabels


@dataclass(frozen=True)
class Retrieval:
    """Scores of one feature, over the queries that have an answer.

    Attributes:
        recall_at_1: Share of the queries whose nearest neighbour has the same factor.
        mean_average_precision: mAP over the whole gallery.
        chance: R@1 of a random order.
        queries: How many had something to find.
        recall_at_1_error, mean_average_precision_error: Standard errors, clustered by subject; None for a single one.
    """

    recall_at_1: float
    mean_average_precision: float
    chance: float
    queries: int
    recall_at_1_error: float | None = None
    mean_average_precision_error: float | None = None


def retrieval(
    feature: np.ndarray,
    factors: FactorLabels,
    factor: str,
    *,
    hard: bool = True,
    max_queries: int = 1000,
    seed: int = 0,
) -> Retrieval | None:
    """Looks for pictures with the query's factor among pictures that share neither of its other two.

    For ``factor="subject"`` that is: the same subject, before another background and in another pose. The hard gallery
    holds, besides, all pictures of *other* subjects with the query's own background **and** pose: whoever looks at
    these finds them first.

    Args:
        feature: ``[N, D]``; compared by cosine.
        factors: Of the same N pictures.
        factor: ``subject``, ``pose`` or ``background``; the other two are what must not help.
        hard: With the hard part of the gallery.
        max_queries: A seeded draw of so many queries where there are more; the gallery is always whole.
        seed: Of that draw.

    Returns:
        None if no query has an answer (each subject in one pose only, say).
    """
    same = {name: same_labels(getattr(factors, name)) for name in FACTORS}
    others = [name for name in FACTORS if name != factor]
    neither = ~same[others[0]] & ~same[others[1]]
    positives = same[factor] & neither
    both = same[others[0]] & same[others[1]] & ~same[factor]
    gallery = neither | both if hard else neither
    queries = np.flatnonzero(positives.any(axis=1) & (gallery & ~positives).any(axis=1))
    if not len(queries):
        return None
    queries = drawn(queries, max_queries, seed)
    directions = unit(np.asarray(feature, np.float64))
    likeness = directions[queries] @ directions.T
    positives, gallery = positives[queries], gallery[queries]
    order = np.argsort(-np.where(gallery, likeness, -np.inf), axis=1, kind="stable")
    hits = np.take_along_axis(positives, order, axis=1)
    precision = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    average = (precision * hits).sum(axis=1) / hits.sum(axis=1)
    return Retrieval(
        recall_at_1=float(hits[:, 0].mean()),
        mean_average_precision=float(average.mean()),
        chance=float((positives.sum(axis=1) / gallery.sum(axis=1)).mean()),
        queries=len(queries),
        recall_at_1_error=clustered_error(hits[:, 0], factors.subject[queries]),
        mean_average_precision_error=clustered_error(average, factors.subject[queries]),
    )


def retrievals(features: Features, factors: FactorLabels, seed: int = 0) -> dict[str, dict[str, Retrieval | None]]:
    """Each feature on its own factor, hard and easy gallery."""
    return {
        name: {
            "hard": retrieval(feature, factors, name, hard=True, seed=seed),
            "easy": retrieval(feature, factors, name, hard=False, seed=seed),
        }
        for name, feature in features.named().items()
    }


def same_labels(labels: np.ndarray) -> np.ndarray:
    """``[N, N]`` bool: which pictures share a label."""
    _, numbers = np.unique(labels, return_inverse=True)
    same: np.ndarray = numbers[:, None] == numbers[None, :]
    return same


def unit(feature: np.ndarray) -> np.ndarray:
    """``[N, D]`` of length 1."""
    return feature / np.maximum(np.linalg.norm(feature, axis=1, keepdims=True), 1e-12)


def drawn(queries: np.ndarray, most: int, seed: int) -> np.ndarray:
    """The queries, or where there are more than ``most`` a seeded draw of so many, in order."""
    if len(queries) <= most:
        return queries
    return np.sort(np.random.default_rng(seed).choice(queries, most, replace=False))
