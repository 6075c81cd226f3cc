"""Baselines that need no training: the raw CLIP, CLIP after closed-form erasure, and chance.

Those that are trained are in :mod:`spotdiff_model.baselines`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import PCA

from spotdiff_model.evaluation.features import Features
from spotdiff_model.evaluation.probes.erasure import concepts, erase
from spotdiff_model.evaluation.probes.factors import FactorLabels

FULL_CLIP = "clip-tokens"
"""The method whose probes say what there is to be read at all."""
RAW = ("clip", FULL_CLIP)
LEACE = "leace"
REAL = "real"
"""The ceiling: the dataset's own pictures of the cells that were asked for; scored in pictures only."""
TEXT_PROMPT = "text-prompt"
"""The upper bound: no encoder, but the subject's description in the prompt; scored in pictures only."""


@dataclass(frozen=True, eq=False)
class Method:
    """One line of the table.

    Attributes:
        name: Its key in metrics.json.
        title: For people.
        remark: What it is, in a sentence.
        judged: Its features on the judged rows, one for each training (one if it is not trained by seed).
        fitted: Its features on rows of the training split, on which attribute probes are fitted; as many.
    """

    name: str
    title: str
    remark: str
    judged: Sequence[Features]
    fitted: Sequence[Features]


@dataclass(frozen=True, eq=False)
class ClipFeatures:
    """``embeddings`` ``[N, D]`` and ``tokens`` ``[N, W]`` of N pictures, with what is true of them."""

    embeddings: np.ndarray
    tokens: np.ndarray
    factors: FactorLabels


def untrained_baselines(
    judged: ClipFeatures, fitted: ClipFeatures, seeds: Sequence[int], width: int = 256
) -> list[Method]:
    """Everybody who needs no training.

    Args:
        judged: Of the judged split.
        fitted: Of rows of the training split: the token's principal components and the erasure are fitted there.
        seeds: Of the random features, drawn anew for each.
        width: Principal components that are kept of the tokens.
    """
    components = PCA(min(width, *fitted.tokens.shape), svd_solver="randomized", random_state=0)
    fit_tokens = components.fit_transform(fitted.tokens.astype(np.float32)).astype(np.float64)
    tokens = components.transform(judged.tokens.astype(np.float32)).astype(np.float64)
    known = concepts(fitted.factors)
    oracle = concepts(judged.factors)

    def erased(fit: np.ndarray, truth: np.ndarray) -> tuple[Features, Features]:
        return Features(erase(fit, truth, judged.embeddings)), Features(erase(fit, truth, fitted.embeddings))

    found = {
        "clip": (
            "raw CLIP",
            "The frozen CLIP's image embedding, as retrieval uses it.",
            (Features(judged.embeddings), Features(fitted.embeddings)),
        ),
        FULL_CLIP: (
            "raw CLIP, all tokens",
            f"All tokens of its last layer ({components.n_components_} principal components): what encoders are given.",
            (Features(tokens), Features(fit_tokens)),
        ),
        LEACE: (
            "CLIP + LEACE",
            "Pose and background erased from the embedding in closed form, fitted on the training split.",
            erased(fitted.embeddings, known),
        ),
        "leace-oracle": (
            "CLIP + LEACE, fitted on the judged labels",
            "Not a fair baseline: it is told pose and background of the very pictures that it is judged on.",
            erased(judged.embeddings, oracle),
        ),
    }
    return [
        *(Method(name, title, remark, [ours], [theirs]) for name, (title, remark, (ours, theirs)) in found.items()),
        Method(
            "random",
            "random features",
            "Knows nothing: where it does not sit at chance, the judge is wrong.",
            [_noise(len(tokens), seed) for seed in seeds],
            [_noise(len(fit_tokens), seed + len(seeds)) for seed in seeds],
        ),
    ]


def _noise(rows: int, seed: int, width: int = 128) -> Features:
    return Features(np.random.default_rng([seed, rows]).normal(size=(rows, width)))
