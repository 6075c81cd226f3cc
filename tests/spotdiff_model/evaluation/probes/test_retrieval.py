"""Retrieval: right neighbours are counted, wrong ones too, and the hard gallery is hard."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from toy import code_of, guessing, perfect, toy_factors

from spotdiff_model.evaluation.probes.retrieval import retrieval, retrievals


def test_a_perfect_encoder_finds_everything(factors):
    found = retrievals(perfect(factors), factors)
    assert set(found) == {"subject", "pose", "background"}
    for galleries in found.values():
        for result in galleries.values():
            assert result.recall_at_1 == 1
            assert result.mean_average_precision > 0.999


def test_random_features_sit_at_chance(factors):
    result = retrieval(guessing(factors).subject, factors, "subject")
    assert result.recall_at_1 == pytest.approx(result.chance, abs=0.08)


def test_who_looks_at_pose_and_background_falls_for_the_hard_gallery(factors):
    scenery = code_of(factors.pose, seed=1) + code_of(factors.background, seed=2)
    feature = 1.2 * code_of(factors.subject) + scenery
    easy, hard = (retrieval(feature, factors, "subject", hard=hard) for hard in (False, True))
    assert easy.recall_at_1 > 0.7
    assert hard.recall_at_1 < 0.5 * easy.recall_at_1


def test_shuffled_subject_labels_make_the_gain_vanish(factors):
    rng = np.random.default_rng(0)
    relabelled = replace(factors, subject=rng.permutation(factors.subject))
    result = retrieval(perfect(factors).subject, relabelled, "subject")
    assert result.recall_at_1 == pytest.approx(result.chance, abs=0.1)


def test_the_average_precision_of_a_known_ranking():
    # one query with an answer each way: two poses, two backgrounds, two subjects
    factors = toy_factors(subjects=2, poses=2, backgrounds=2)
    feature = code_of(factors.subject) * np.where(factors.pose == "p-0", 1, -1)[:, None]
    result = retrieval(feature, factors, "subject", hard=False)
    # each query: its only match is its own negative, so the other subject's picture comes first
    assert result.queries == 8
    assert result.recall_at_1 in (0.0, 0.5, 1.0)
    other = 0.5 if result.recall_at_1 == 0 else 1.0
    assert result.mean_average_precision == pytest.approx(other)


def test_no_answer_no_score():
    factors = toy_factors(poses=1)
    assert retrieval(perfect(factors).subject, factors, "subject") is None


def test_queries_are_drawn_by_seed_the_gallery_is_whole(factors):
    feature = perfect(factors, noise=1.5).subject
    one, same, other = (retrieval(feature, factors, "subject", max_queries=40, seed=s) for s in (0, 0, 1))
    assert one == same != other
    assert one.queries == 40
    assert one.chance == pytest.approx(retrieval(feature, factors, "subject").chance)
