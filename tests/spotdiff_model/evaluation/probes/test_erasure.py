"""LEACE by its definition: after it no linear probe beats a constant, and little else has changed."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from toy import code_of

from spotdiff_model.evaluation.probes.erasure import concepts, erase


@pytest.fixture(scope="module")
def mixed(factors):
    """The three factors' codes, mixed by a random matrix."""
    parts = [code_of(v, seed=i) for i, v in enumerate((factors.subject, factors.pose, factors.background))]
    rng = np.random.default_rng(5)
    noisy = np.concatenate(parts, axis=1) + 0.1 * rng.normal(size=(len(factors), 36))
    return noisy @ rng.normal(size=(36, 36))


def test_no_linear_probe_beats_a_constant_after_erasure(factors, mixed):
    known = concepts(factors)
    erased = erase(mixed, known, mixed)
    known = known[:, known.std(axis=0) > 0]  # a constant is always predicted
    assert LinearRegression().fit(mixed, known).score(mixed, known) > 0.9
    assert LinearRegression().fit(erased, known).score(erased, known) == pytest.approx(0, abs=1e-6)
    constant = max(np.mean(factors.background == name) for name in set(factors.background))
    probe = LogisticRegression(C=1e6, max_iter=500).fit(erased, factors.background)
    assert probe.score(erased, factors.background) <= constant + 0.03


def test_what_was_not_asked_for_stays(factors, mixed):
    erased = erase(mixed, concepts(factors), mixed)
    probe = LogisticRegression(max_iter=500).fit(erased, factors.subject)
    assert probe.score(erased, factors.subject) > 0.98


def test_it_is_fitted_on_some_rows_and_applied_to_others(factors, mixed):
    known = concepts(factors)
    half = np.arange(len(factors)) % 2 == 0
    erased = erase(mixed[half], known[half], mixed[~half])
    assert erased.shape == mixed[~half].shape
    assert LinearRegression().fit(mixed[~half], known[~half]).score(mixed[~half], known[~half]) > 0.9
    left = erased - erased.mean(axis=0)
    cross = left.T @ (known[~half] - known[~half].mean(axis=0)) / half.sum()
    whole = (mixed[~half] - mixed[~half].mean(axis=0)).T @ known[~half] / half.sum()
    assert np.abs(cross).mean() < 0.3 * np.abs(whole - whole.mean()).mean()
