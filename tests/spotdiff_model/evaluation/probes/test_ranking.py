"""SSR and pairwise accuracy on features of which theory says where they must land."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from toy import code_of, guessing, perfect, toy_factors

from spotdiff_model.evaluation.probes.ranking import same_subject_ranking
from spotdiff_model.evaluation.probes.retrieval import retrieval


def test_a_perfect_encoder_ranks_every_true_view_above_every_impostor(factors):
    found = same_subject_ranking(perfect(factors).subject, factors)
    assert (found.ssr, found.pairwise) == (1.0, 1.0)
    assert found.ssr_error == found.pairwise_error == 0
    assert found.true_views == 6 * 5  # all poses, all other backgrounds
    assert found.queries == len(factors)


def test_random_features_and_shuffled_labels_sit_at_chance(factors):
    shuffled = replace(factors, subject=np.random.default_rng(0).permutation(factors.subject))
    for feature, labels in ((guessing(factors).subject, factors), (perfect(factors).subject, shuffled)):
        found = same_subject_ranking(feature, labels)
        assert found.pairwise == pytest.approx(found.pairwise_chance, abs=0.05)
        assert found.ssr == pytest.approx(found.ssr_chance, abs=0.01)


def test_a_copied_background_turns_the_ranking_round(factors):
    # impostors share the background, true views never do
    found = same_subject_ranking(code_of(factors.background, seed=2), factors)
    assert found.ssr == found.pairwise == 0


def test_a_little_background_costs_ssr_and_not_recall_at_1(factors):
    leaky = perfect(factors).subject + 0.5 * code_of(factors.background, seed=2)
    found, recall = same_subject_ranking(leaky, factors), retrieval(leaky, factors, "subject").recall_at_1
    assert recall > 0.95
    assert found.ssr < 0.7 and 0.9 < found.pairwise < 0.99


def test_what_is_the_same_for_all_is_half_right_and_never_solved(factors):
    found = same_subject_ranking(np.ones((len(factors), 3)), factors)
    assert (found.ssr, found.pairwise) == (0, 0.5)


def test_a_margin_is_asked_of_every_pair(factors):
    feature = perfect(factors).subject
    assert same_subject_ranking(feature, factors, margin=0.0).ssr == 1
    assert same_subject_ranking(feature, factors, margin=1.9).ssr == 0


def test_the_chance_of_a_known_gallery():
    # 2 subjects x 1 pose x 2 backgrounds: one true view, one impostor
    factors = toy_factors(subjects=2, poses=1, backgrounds=2)
    assert same_subject_ranking(perfect(factors).subject, factors).ssr_chance == 0.5
    assert same_subject_ranking(perfect(factors).subject, toy_factors(backgrounds=1)[np.arange(4)]) is None
