"""Generated pictures as queries: the subject itself finds itself, another finds somebody else."""

from __future__ import annotations

import numpy as np
import pytest

from spotdiff_model.evaluation.generation.look_alikes import LOOK_ALIKES, Gallery, look_alike_precision
from spotdiff_model.evaluation.generation.requests import Request

SUBJECTS, PICTURES = 12, 6


@pytest.fixture
def gallery():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(SUBJECTS, 16))
    vectors = np.repeat(centres, PICTURES, axis=0) + 0.05 * rng.normal(size=(SUBJECTS * PICTURES, 16))
    names = np.repeat([f"subject-{number}" for number in range(SUBJECTS)], PICTURES)
    ids = np.array([f"{name}/{number % PICTURES}" for number, name in enumerate(names)])
    return Gallery(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), names, ids)


def requests(gallery):
    nothing = np.zeros(0)
    return [
        Request("new_background", name, None, nothing, nothing, "", "", "", "", None, reference_id=f"{name}/0")
        for name in np.unique(gallery.subjects)
    ]


def of(gallery, subject, at):
    return gallery.embeddings[np.flatnonzero(gallery.subjects == subject)[at]]


def test_the_subject_finds_itself_and_somebody_else_does_not(gallery):
    asked = requests(gallery)
    perfect = np.stack([of(gallery, request.subject, 1) for request in asked])
    precision, chance = look_alike_precision(perfect, asked, gallery)
    assert precision == pytest.approx(1)
    # one of six subjects comes first, the others behind it
    assert ((chance > 1 / (LOOK_ALIKES + 1)) & (chance < 0.45)).all()
    # shuffled: each picture is of the next subject
    shuffled, _ = look_alike_precision(np.roll(perfect, 1, axis=0), asked, gallery)
    assert shuffled.mean() < 0.45


def test_the_reference_itself_is_not_among_the_answers(gallery):
    asked = requests(gallery)
    alone = Gallery(gallery.embeddings[::PICTURES], gallery.subjects[::PICTURES], gallery.ids[::PICTURES])
    precision, _ = look_alike_precision(np.stack([of(gallery, r.subject, 0) for r in asked]), asked, alone)
    assert np.isnan(precision).all()


def test_who_draws_anybody_of_the_look_alikes_is_at_chance(gallery):
    names = np.unique(gallery.subjects)
    means = np.stack([gallery.embeddings[gallery.subjects == name].mean(axis=0) for name in names])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    found = []
    for at, request in enumerate(requests(gallery)):
        drawn = names[np.argsort(-(means @ means[at]))][: LOOK_ALIKES + 1]
        queries = np.stack([of(gallery, name, 1) for name in drawn])
        found.append(look_alike_precision(queries, [request] * len(queries), gallery))
    precision, chance = (np.stack(values) for values in zip(*found, strict=True))
    assert precision.mean() == pytest.approx(chance.mean(), abs=0.04)
