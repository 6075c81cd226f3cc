"""The leakage matrix: perfect encoders pass, leaking ones are caught, random features sit at chance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from toy import guessing, leaking, perfect, toy_factors

from spotdiff_model.evaluation.features import Features
from spotdiff_model.evaluation.probes.dependence import mean_cosine
from spotdiff_model.evaluation.probes.leakage import (
    LeakageSettings,
    attribute_transfer,
    keypoints_within,
    leakage,
)
from spotdiff_model.evaluation.probes.probes import accuracy

SETTINGS = LeakageSettings(folds=3)
MLP = LeakageSettings(folds=2, crossed_folds=2, kind="mlp")


def above_chance(score):
    return score.value - score.chance


def test_a_perfect_encoder_has_ones_on_the_diagonal_and_chance_elsewhere(factors):
    matrix = leakage(perfect(factors), factors, SETTINGS, seed=0)
    for feature, row in matrix.items():
        for target in ("subject", "pose", "background"):
            score = row[target]
            assert score is not None
            if feature == target:
                assert score.value > 0.98
            else:
                assert score.value - score.chance < 0.12, (feature, target)


def test_a_leak_is_caught_although_every_sample_is_orthogonal(factors):
    features = leaking(factors)
    assert mean_cosine(features.subject, features.pose) == pytest.approx(0, abs=1e-9)
    matrix = leakage(features, factors, SETTINGS, seed=0)
    assert matrix["subject"]["pose"].value > 0.95
    assert matrix["subject"]["pose_id"].value > 0.95
    assert above_chance(matrix["subject"]["background"]) < 0.12


def test_on_permuted_labels_nothing_is_read_of_perfect_and_leaking_features_alike(factors):
    for features in (perfect(factors), leaking(factors)):
        matrix = leakage(features, factors, replace(SETTINGS, permuted=True), seed=0)
        assert all(above_chance(score) < 0.1 for row in matrix.values() for score in row.values())


@pytest.mark.parametrize("settings", [SETTINGS, MLP])
def test_probes_on_random_features_sit_at_chance(factors, settings):
    matrix = leakage(guessing(factors), factors, settings, seed=0)
    assert all(score.value - score.chance < 0.1 for row in matrix.values() for score in row.values())


def test_a_small_network_reads_what_no_line_can():
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, (400, 2))
    feature, label = bits + 0.05 * rng.normal(size=(400, 2)), bits[:, 0] ^ bits[:, 1]
    folds = [(np.arange(300), np.arange(300, 400))]
    assert accuracy(feature, label, folds, "linear", 0).value < 0.7
    assert accuracy(feature, label, folds, "mlp", 0).value > 0.95


def test_shuffled_pictures_lose_the_diagonal(factors):
    shuffled = replace(perfect(factors), background=None)[np.random.default_rng(0).permutation(len(factors))]
    matrix = leakage(shuffled, factors, SETTINGS, seed=0)
    assert above_chance(matrix["subject"]["subject"]) < 0.12
    assert above_chance(matrix["pose"]["pose"]) < 0.12


def test_large_samples_are_drawn_by_the_stated_seed(factors):
    small = LeakageSettings(folds=2, crossed_folds=2, max_rows=100)
    features = Features(perfect(factors, noise=3.0).subject)
    first = leakage(features, factors, small, seed=0)
    assert first == leakage(features, factors, small, seed=0)
    assert first != leakage(features, factors, small, seed=1)


def test_what_a_small_split_cannot_tell_is_left_open():
    factors = toy_factors(poses=1)
    matrix = leakage(perfect(factors), factors, SETTINGS, seed=0)
    assert matrix["subject"]["subject"] is None
    assert matrix["subject"]["pose_id"] is None
    assert matrix["background"]["background"].value > 0.98


def test_attributes_are_read_on_subjects_that_no_probe_saw():
    known, asked = toy_factors(subjects=8, poses=3, backgrounds=3), toy_factors(subjects=4, poses=3, backgrounds=3)
    red = (known.attributes["shirt_color"] == "red").astype(float), asked.attributes["shirt_color"] == "red"
    rng = np.random.default_rng(0)
    shown = [Features(values[:, None] + 0.1 * rng.normal(size=(len(values), 3))) for values in red]
    hidden = [Features(rng.normal(size=(len(values), 3))) for values in red]
    assert attribute_transfer((shown[0], known), (shown[1], asked), SETTINGS, 0)["shirt_color"].value > 0.98
    assert above_chance(attribute_transfer((hidden[0], known), (hidden[1], asked), SETTINGS, 0)["shirt_color"]) < 0.25


def test_keypoints_count_as_right_within_the_tolerance_and_only_where_visible(factors):
    truth = factors.keypoints
    assert keypoints_within(truth, truth) == 1
    near, far = truth.copy(), truth.copy()
    near[..., 0] += 0.049
    far[..., 0] += 0.051
    assert keypoints_within(near, truth) == 1
    assert keypoints_within(far, truth) == 0
    hidden = truth.copy()
    hidden[truth[..., 2] == 0] = 0.7
    assert keypoints_within(hidden, truth) == 1
