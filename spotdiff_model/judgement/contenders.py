"""Who is compared: encoders, the raw CLIP, CLIP after closed-form erasure, and chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import PCA

from spotdiff_model.judgement.blocks import Blocks
from spotdiff_model.judgement.erasure import concepts, erase
from spotdiff_model.judgement.factors import Factors

FULL_CLIP = "clip-tokens"
"""The contender whose probes say what there is to be read at all."""
RAW = ("clip", FULL_CLIP)
LEACE = "leace"
TOLD = "told"
"""No encoder at all: the generator told the subject's description; scored in pictures only."""


@dataclass(frozen=True, eq=False)
class Contender:
    """One line of the table.

    Attributes:
        name: Its key in metrics.json.
        title: For people.
        remark: What it is, in a sentence.
        judged: Its blocks on the judged rows, one for each training (one if it is not trained by seed).
        fitted: Its blocks on rows of the training split, on which attribute probes are fitted; as many.
    """

    name: str
    title: str
    remark: str
    judged: Sequence[Blocks]
    fitted: Sequence[Blocks]


@dataclass(frozen=True, eq=False)
class ClipFeatures:
    """``embeddings`` ``[N, D]`` and ``tokens`` ``[N, W]`` of N pictures, with what is true of them."""

    embeddings: np.ndarray
    tokens: np.ndarray
    factors: Factors


def rivals(judged: ClipFeatures, fitted: ClipFeatures, seeds: Sequence[int], width: int = 256) -> list[Contender]:
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

    def erased(fit: np.ndarray, truth: np.ndarray) -> tuple[Blocks, Blocks]:
        return Blocks(erase(fit, truth, judged.embeddings)), Blocks(erase(fit, truth, fitted.embeddings))

    found = {
        "clip": (
            "raw CLIP",
            "The frozen CLIP's image embedding, as retrieval uses it.",
            (Blocks(judged.embeddings), Blocks(fitted.embeddings)),
        ),
        FULL_CLIP: (
            "raw CLIP, all tokens",
            f"All tokens of its last layer ({components.n_components_} principal components): what encoders are given.",
            (Blocks(tokens), Blocks(fit_tokens)),
        ),
        LEACE: (
            "CLIP + LEACE",
            "Pose and background erased from the embedding in closed form, fitted on the training split.",
            erased(fitted.embeddings, known),
        ),
        "leace-oracle": (
            "CLIP + LEACE, fitted on the judged labels",
            "Not a fair rival: it is told pose and background of the very pictures that it is judged on.",
            erased(judged.embeddings, oracle),
        ),
    }
    return [
        *(Contender(name, title, remark, [ours], [theirs]) for name, (title, remark, (ours, theirs)) in found.items()),
        Contender(
            "random",
            "random features",
            "Knows nothing: where it does not sit at chance, the judge is wrong.",
            [_noise(len(tokens), seed) for seed in seeds],
            [_noise(len(fit_tokens), seed + len(seeds)) for seed in seeds],
        ),
    ]


def _noise(rows: int, seed: int, width: int = 128) -> Blocks:
    return Blocks(np.random.default_rng([seed, rows]).normal(size=(rows, width)))
