"""Errors clustered by subject: what goes together counts once."""

from __future__ import annotations

import numpy as np
import pytest

from spotdiff_model.evaluation.clusters import clustered_error


def test_single_observations_give_the_ordinary_standard_error():
    values = np.random.default_rng(0).normal(size=50)
    error = clustered_error(values, np.arange(50).astype(str))
    assert error == pytest.approx(values.std(ddof=1) / np.sqrt(50))


def test_a_subject_that_is_repeated_is_one_observation():
    values = np.random.default_rng(0).normal(size=12)
    once = clustered_error(values, np.arange(12))
    assert clustered_error(np.repeat(values, 40), np.repeat(np.arange(12), 40)) == pytest.approx(once)


def test_the_error_covers_what_other_subjects_would_have_given():
    rng = np.random.default_rng(1)
    means, errors = [], []
    for _ in range(300):
        who = np.repeat(np.arange(20), 5)
        values = rng.normal(size=20)[who] + 0.3 * rng.normal(size=100)
        means.append(values.mean())
        errors.append(clustered_error(values, who))
    assert np.mean(errors) == pytest.approx(np.std(means), rel=0.1)


def test_one_subject_tells_nothing_of_others():
    assert clustered_error(np.ones(5), np.zeros(5)) is None
    assert clustered_error(np.ones(0), np.zeros(0)) is None
