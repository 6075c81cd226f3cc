"""Is a subject told from its near twin, who differs from it in one attribute?

The bank of the profile ``tiny`` has a near twin of every held-out subject. A subject that is told from strangers by the
colour of its shirt may still be taken for somebody with the same shirt and another hat.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spotdiff_model.evaluation.clusters import clustered_error
from spotdiff_model.evaluation.probes.factors import FactorLabels
from spotdiff_model.evaluation.probes.ranking import ranked_rightly
from spotdiff_model.evaluation.probes.retrieval import drawn, same_labels, unit


@dataclass(frozen=True)
class TwinRanking:
    """Over the queries whose subject has a near twin in the split.

    Attributes:
        recall_at_1: Share of the queries whose nearest picture, of the subject's and its twins', is the subject's.
        pairwise: Mean share of the pairs (true view, picture of a twin) that are ranked rightly; ties count half.
        recall_at_1_chance: Of a random order.
        pairwise_chance: One half.
        recall_at_1_error, pairwise_error: Standard errors, clustered by the query's subject; None for a single one.
        queries: How many.
    """

    recall_at_1: float
    pairwise: float
    recall_at_1_chance: float
    pairwise_chance: float
    recall_at_1_error: float | None
    pairwise_error: float | None
    queries: int


def near_twins(factors: FactorLabels) -> np.ndarray:
    """``[N, N]`` bool: which pictures show subjects that differ in exactly one attribute; none without attributes."""
    if not factors.attributes:
        return np.zeros((len(factors), len(factors)), bool)
    differing = np.stack([~same_labels(values) for values in factors.attributes.values()]).sum(axis=0)
    twins: np.ndarray = (differing == 1) & ~same_labels(factors.subject)
    return twins


def twin_ranking(
    feature: np.ndarray, factors: FactorLabels, *, max_queries: int = 1000, seed: int = 0
) -> TwinRanking | None:
    """Ranks a query's true views and the pictures of its near twins by cosine.

    Both are before another background and in another pose than the query, so that neither of these helps or hinders.

    Args:
        feature: ``[N, D]``.
        factors: Of the same N pictures.
        max_queries: A seeded draw of so many where there are more.
        seed: Of that draw.

    Returns:
        None if no query has both.
    """
    neither = ~same_labels(factors.background) & ~same_labels(factors.pose)
    views, twins = same_labels(factors.subject) & neither, near_twins(factors) & neither
    queries = drawn(np.flatnonzero(views.any(axis=1) & twins.any(axis=1)), max_queries, seed)
    if not len(queries):
        return None
    directions = unit(np.asarray(feature, np.float64))
    first, pairwise, chance = (np.empty(len(queries)) for _ in range(3))
    for at, query in enumerate(queries):
        likeness = directions @ directions[query]
        near, far = likeness[views[query]], np.sort(likeness[twins[query]])
        first[at] = near.max() > far[-1]
        pairwise[at] = ranked_rightly(near, far)
        chance[at] = len(near) / (len(near) + len(far))
    return TwinRanking(
        recall_at_1=float(first.mean()),
        pairwise=float(pairwise.mean()),
        recall_at_1_chance=float(chance.mean()),
        pairwise_chance=0.5,
        recall_at_1_error=clustered_error(first, factors.subject[queries]),
        pairwise_error=clustered_error(pairwise, factors.subject[queries]),
        queries=len(queries),
    )
