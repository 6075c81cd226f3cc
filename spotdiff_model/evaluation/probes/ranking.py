"""SSR and pairwise accuracy: is *every* true view of a subject nearer than *any* impostor on the query's background?

After NearID (arXiv 2604.01973). R@1 asks for one right neighbour only and is soon used up; here one wrong pair fails
the query, and impostors stand where a copied background would lift them.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np

from spotdiff_model.evaluation.clusters import clustered_error
from spotdiff_model.evaluation.probes.factors import FactorLabels
from spotdiff_model.evaluation.probes.retrieval import drawn, same_labels, unit


@dataclass(frozen=True)
class SameSubjectRanking:
    """Over the queries that have true views and impostors.

    Attributes:
        ssr: Share of the queries for which all true views rank above all impostors.
        pairwise: Mean share of the pairs (true view, impostor) that are ranked rightly; ties count half.
        ssr_chance: SSR of a random order.
        pairwise_chance: One half.
        ssr_error, pairwise_error: Standard errors, clustered by the query's subject; None for a single subject.
        queries: How many.
        true_views: Mean number a query.
    """

    ssr: float
    pairwise: float
    ssr_chance: float
    pairwise_chance: float
    ssr_error: float | None
    pairwise_error: float | None
    queries: int
    true_views: float


def same_subject_ranking(
    feature: np.ndarray,
    factors: FactorLabels,
    *,
    excused: np.ndarray | None = None,
    margin: float = 0.0,
    max_queries: int = 1000,
    seed: int = 0,
) -> SameSubjectRanking | None:
    """Ranks by cosine.

    True views of a query are all pictures of its subject before another background, in whatever pose; impostors are
    all pictures of other subjects before the query's own background.

    Args:
        feature: ``[N, D]``.
        factors: Of the same N pictures.
        excused: ``[N, N]`` bool: pairs of query and picture in which the picture is no impostor, such as near twins.
        margin: By which each true view has to be nearer.
        max_queries: A seeded draw of so many where there are more.
        seed: Of that draw.

    Returns:
        None if no query has both.
    """
    subject, background = same_labels(factors.subject), same_labels(factors.background)
    views, impostors = subject & ~background, ~subject & background
    if excused is not None:
        impostors &= ~excused
    queries = drawn(np.flatnonzero(views.any(axis=1) & impostors.any(axis=1)), max_queries, seed)
    if not len(queries):
        return None
    directions = unit(np.asarray(feature, np.float64))
    solved, pairwise, chance, counts = (np.empty(len(queries)) for _ in range(4))
    for at, query in enumerate(queries):
        likeness = directions @ directions[query]
        near, far = likeness[views[query]] - margin, np.sort(likeness[impostors[query]])
        solved[at] = near.min() > far[-1]
        pairwise[at] = ranked_rightly(near, far)
        chance[at] = 1 / comb(len(near) + len(far), len(near))
        counts[at] = len(near)
    return SameSubjectRanking(
        ssr=float(solved.mean()),
        pairwise=float(pairwise.mean()),
        ssr_chance=float(chance.mean()),
        pairwise_chance=0.5,
        ssr_error=clustered_error(solved, factors.subject[queries]),
        pairwise_error=clustered_error(pairwise, factors.subject[queries]),
        queries=len(queries),
        true_views=float(counts.mean()),
    )


def ranked_rightly(near: np.ndarray, far: np.ndarray) -> float:
    """Share of the pairs of which the first is greater; ties count half.

    Args:
        near: ``[V]`` likenesses of true views.
        far: ``[R]`` those of others, sorted.
    """
    below = np.searchsorted(far, near, side="left") + np.searchsorted(far, near, side="right")
    return float(below.mean() / (2 * len(far)))
