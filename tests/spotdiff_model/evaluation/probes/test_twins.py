"""Near twins: who reads the one attribute tells them apart, who does not is at chance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from toy import code_of, guessing, perfect, toy_factors

from spotdiff_model.evaluation.probes.ranking import same_subject_ranking
from spotdiff_model.evaluation.probes.twins import near_twins, twin_ranking


@pytest.fixture
def twins():
    """Six subjects, s-0 and s-1 near twins by their hats, and so on; pairs differ in their shirts and trousers."""
    factors = toy_factors()
    number = np.char.lstrip(factors.subject, "s-").astype(int)
    looks = {"hat": (number % 2).astype(str), "shirt": (number // 2).astype(str), "trousers": (number // 2).astype(str)}
    return replace(factors, attributes=looks)


def pair_of(factors):
    return factors.attributes["shirt"]


def test_twins_differ_in_one_attribute(twins):
    found = near_twins(twins)
    assert found.sum(axis=1).tolist() == [36] * len(twins)  # the twin's 6 poses x 6 backgrounds
    one, other = np.argwhere(found)[0]
    assert pair_of(twins)[one] == pair_of(twins)[other] and twins.subject[one] != twins.subject[other]


def test_a_perfect_encoder_tells_all_and_random_features_sit_at_chance(twins):
    found = twin_ranking(perfect(twins).subject, twins)
    assert (found.recall_at_1, found.pairwise, found.recall_at_1_error) == (1, 1, 0)
    assert found.queries == len(twins) and found.recall_at_1_chance == 0.5
    blind = twin_ranking(guessing(twins).subject, twins)
    assert blind.pairwise == pytest.approx(0.5, abs=0.03) and blind.recall_at_1 == pytest.approx(0.5, abs=0.1)


def test_who_knows_the_pair_and_not_the_twin_is_at_chance(twins):
    noise = 0.05 * np.random.default_rng(5).normal(size=(len(twins), 12))
    found = twin_ranking(code_of(pair_of(twins)) + noise, twins)
    assert found.pairwise == pytest.approx(0.5, abs=0.03)


def test_who_knows_the_pair_and_not_the_twin_tells_all_strangers(twins):
    noise = 0.05 * np.random.default_rng(5).normal(size=(len(twins), 12))
    feature = code_of(pair_of(twins)) + noise
    assert same_subject_ranking(feature, twins).ssr < 0.1
    found = same_subject_ranking(feature, twins, excused=near_twins(twins))
    assert (found.ssr, found.pairwise, found.queries) == (1, 1, len(twins))


def test_copied_pose_and_background_neither_help_nor_hinder(twins):
    for labels in (twins.background, twins.pose):
        found = twin_ranking(code_of(labels) + 0.01 * guessing(twins).subject, twins)
        assert found.pairwise == pytest.approx(0.5, abs=0.05)


def test_shuffled_subjects_are_at_chance(twins):
    order = np.random.default_rng(0).permutation(len(twins))
    found = twin_ranking(perfect(twins).subject[order], twins)
    assert found.pairwise == pytest.approx(0.5, abs=0.05)


def test_without_twins_or_attributes_nothing_is_told(twins):
    strangers = {**twins.attributes, "trousers": twins.subject, "hat": twins.subject}
    assert twin_ranking(perfect(twins).subject, replace(twins, attributes=strangers)) is None
    assert twin_ranking(perfect(twins).subject, replace(twins, attributes={})) is None
