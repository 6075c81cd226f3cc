"""Distance correlation: found where it is, not found where it is not, by its textbook definition."""

from __future__ import annotations

import numpy as np
import pytest
from toy import leaking, perfect

from spotdiff_model.evaluation.probes.dependence import dependence, dependences, mean_cosine


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(0).normal(size=(150, 5))


def test_of_a_feature_with_its_own_rotation_it_is_one(noise):
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(5, 5)))
    assert dependence(noise, 3 * noise @ turn + 1).distance_correlation == pytest.approx(1)


def test_independent_features_are_told_so(noise):
    values = [dependence(noise, np.random.default_rng(s).normal(size=(150, 40)), seed=s) for s in range(2, 8)]
    assert abs(np.mean([v.distance_correlation for v in values])) < 0.03  # unbiased, however wide the feature
    assert np.mean([v.p_value for v in values]) > 0.2


def test_a_dependence_that_no_correlation_shows_is_found(noise):
    curved = noise[:, :1] ** 2
    assert abs(np.corrcoef(noise[:, 0], curved[:, 0])[0, 1]) < 0.2
    found = dependence(noise[:, :1], curved)
    assert found.distance_correlation > 0.1
    assert found.p_value == pytest.approx(1 / 200)


def test_the_textbook_value_on_four_points():
    a, b = np.array([[0.0], [1], [3], [7]]), np.array([[0.0], [2], [1], [5]])

    def centred(x):  # Székely & Rizzo (2013), entry by entry
        d = np.abs(x - x.T)
        n = len(d)
        u = np.zeros_like(d)
        for i in range(n):
            for j in range(n):
                if i != j:
                    u[i, j] = d[i, j] - d[i].sum() / (n - 2) - d[:, j].sum() / (n - 2) + d.sum() / ((n - 1) * (n - 2))
        return u

    p, q = centred(a), centred(b)
    assert dependence(a, b).distance_correlation == pytest.approx((p * q).sum() / np.sqrt((p**2).sum() * (q**2).sum()))


def test_a_leak_shows_although_the_cosine_is_zero(factors):
    bad, good = dependences(leaking(factors)), dependences(perfect(factors))
    assert bad["subject", "pose"].cosine == pytest.approx(0, abs=1e-9)
    assert bad["subject", "pose"].distance_correlation > 0.3
    assert bad["subject", "pose"].p_value < 0.01
    assert good["subject", "pose"].distance_correlation < 0.02
    assert set(good) == {("subject", "pose"), ("subject", "background"), ("pose", "background")}


def test_the_cosine_of_features_of_different_widths_is_left_open(noise):
    assert mean_cosine(noise, noise[:, :2]) is None
    assert mean_cosine(noise, -2 * noise) == pytest.approx(1)


def test_a_constant_feature_depends_on_nothing(noise):
    assert dependence(noise, np.ones((150, 3))).distance_correlation == 0
