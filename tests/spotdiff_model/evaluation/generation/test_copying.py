"""copy_geo by vectors: the truth at -1, the reference at +1, what knows neither at 0."""

from __future__ import annotations

import numpy as np
import pytest

from spotdiff_model.evaluation.generation.copying import copy_geo


@pytest.fixture
def places():
    """Unit vectors of truths and references that have something in common, ``[200, 64]`` each."""
    rng = np.random.default_rng(0)
    common = rng.normal(size=64)
    found = common + rng.normal(size=(2, 200, 64))
    return found / np.linalg.norm(found, axis=-1, keepdims=True)


def test_a_perfect_one_a_copying_one_and_a_leaking_one_land_where_they_must(places):
    truth, reference = places
    assert copy_geo(truth, truth, reference) == pytest.approx(-1)
    assert copy_geo(reference, truth, reference) == pytest.approx(1)
    between = truth + reference
    between /= np.linalg.norm(between, axis=1, keepdims=True)
    assert copy_geo(between, truth, reference) == pytest.approx(0, abs=1e-9)
    leaking = 0.5 * truth + reference
    leaking /= np.linalg.norm(leaking, axis=1, keepdims=True)
    assert (copy_geo(leaking, truth, reference) > 0.2).all()


def test_a_shuffled_one_is_near_neither(places):
    truth, reference = places
    found = copy_geo(np.roll(truth, 1, axis=0), truth, reference)
    assert found.mean() == pytest.approx(0, abs=0.02)
    assert np.abs(found).max() < 0.6


def test_where_truth_and_reference_are_one_nothing_can_be_told(places):
    truth, reference = places
    assert np.isnan(copy_geo(reference, truth, truth)).all()
