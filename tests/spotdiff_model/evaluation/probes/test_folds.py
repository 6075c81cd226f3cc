"""Grouped folds: what is held out is held out."""

from __future__ import annotations

import numpy as np
import pytest
from toy import toy_factors

from spotdiff_model.evaluation.probes.folds import TooFewError, folds_for


@pytest.mark.parametrize("target", ["pose", "background"])
def test_probes_of_pose_and_background_are_tested_on_subjects_they_never_saw(factors, target):
    folds = folds_for(target, factors, 3, seed=0)
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(len(factors)))
    for fit, test in folds:
        assert not set(factors.subject[fit]) & set(factors.subject[test])


def test_probes_of_subjects_never_saw_the_test_rows_poses_nor_their_backgrounds(factors):
    folds = folds_for("subject", factors, 3, seed=0)
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(len(factors)))
    for fit, test in folds:
        assert not set(factors.pose[fit]) & set(factors.pose[test])
        assert not set(factors.background[fit]) & set(factors.background[test])
        assert set(factors.subject[fit]) == set(factors.subject)


def test_the_seed_settles_which_groups_go_together(factors):
    def held_out(seed):
        return [sorted(set(factors.subject[test])) for _, test in folds_for("pose", factors, 3, seed)]

    assert held_out(0) == held_out(0)
    assert any(held_out(0) != held_out(seed) for seed in range(1, 5))


def test_a_single_pose_cannot_be_held_out():
    with pytest.raises(TooFewError, match="two poses"):
        folds_for("subject", toy_factors(poses=1), 3, seed=0)
