"""A generated picture as a query: does it find its subject among those who look most like it? (arXiv 2512.19026)"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from spotdiff_model.evaluation.generation.copying import greyed
from spotdiff_model.evaluation.generation.requests import Request
from spotdiff_model.evaluation.probes.factors import Sample
from spotdiff_model.evaluation.probes.retrieval import unit

LOOK_ALIKES = 5
"""Other subjects in a gallery: those whose mean embedding is nearest."""


@dataclass(frozen=True, eq=False)
class Gallery:
    """Real pictures to search, with all but the subject greyed.

    Attributes:
        embeddings: Unit vectors ``[G, D]``.
        subjects: ``[G]``.
        ids: ``[G]`` variation ids.
    """

    embeddings: np.ndarray
    subjects: np.ndarray
    ids: np.ndarray


def make_gallery(sample: Sample, embed: Callable[[Sequence[Image.Image]], np.ndarray]) -> Gallery:
    """The whole split as a gallery."""
    cut = []
    for data, mask in zip(sample.images, sample.masks, strict=True):
        shown = np.asarray(Image.open(io.BytesIO(mask)).convert("L")) > 127
        cut.append(greyed(Image.open(io.BytesIO(data)).convert("RGB"), shown))
    return Gallery(embed(cut), sample.factors.subject, sample.ids)


def look_alike_precision(
    queries: np.ndarray, requests: Sequence[Request], gallery: Gallery
) -> tuple[np.ndarray, np.ndarray]:
    """Average precision of each generated picture, and what it were if any of the gallery's subjects was the right one.

    Right answers are the subject's real pictures but the reference, wrong ones those of its look-alikes.

    Args:
        queries: Unit vectors ``[N, D]`` of the generated pictures, all but the person greyed.
        requests: What they were to show.
        gallery: Real pictures.

    Returns:
        ``[N]`` each; NaN where the subject has no other picture or is the only one.
    """
    names = np.unique(gallery.subjects)
    means = unit(np.stack([gallery.embeddings[gallery.subjects == name].mean(axis=0) for name in names]))
    precision, chance = np.full(len(requests), np.nan), np.full(len(requests), np.nan)
    for at, request in enumerate(requests):
        own = np.flatnonzero(names == request.subject)
        if not len(own) or len(names) < 2:
            continue
        order = names[np.argsort(-(means @ means[own[0]]), kind="stable")]
        alike = order[order != request.subject][:LOOK_ALIKES]
        searched = np.isin(gallery.subjects, [*alike, request.subject]) & (gallery.ids != request.reference_id)
        nearest = np.argsort(-(gallery.embeddings[searched] @ queries[at]), kind="stable")
        ranked = gallery.subjects[searched][nearest]
        if (ranked == request.subject).any():
            precision[at] = _average_precision(ranked == request.subject)
            chance[at] = np.mean([_average_precision(ranked == name) for name in [request.subject, *alike]])
    return precision, chance


def _average_precision(ranked: np.ndarray) -> float:
    """Of a gallery in its order, ``[G]`` bool: which are right."""
    return float(((np.cumsum(ranked) / np.arange(1, len(ranked) + 1)) * ranked).sum() / ranked.sum())
