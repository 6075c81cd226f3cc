"""``benchmarks/ceilings.py``: readers without a network land where theory says.

It lies here for the rendered manifests.
"""

from __future__ import annotations

import numpy as np

from benchmarks.ceilings import one_hot, ranked, scenes
from spotdiff_model.evaluation.probes.factors import read_sample
from tinyworld.world.render import render


def test_who_is_told_everything_ranks_without_a_fault_and_who_mixes_pictures_up_by_chance(rendered):
    factors = read_sample(str(rendered), "train").factors
    told = one_hot({name: values.tolist() for name, values in factors.attributes.items()})
    assert [value for value in ranked(told, factors) if value] == ["1.000"] * 5
    mixed = ranked(told[np.random.default_rng(1).permutation(len(told))], factors)
    assert float(mixed[1]) == 0 and 0.3 < float(mixed[2]) < 0.7


def test_what_is_not_to_be_seen_is_no_value():
    assert one_hot({"hat": ["cap", None, "none"]}).tolist() == [[1, 0], [0, 0], [0, 1]]


def test_exact_renders_show_the_pictures_subjects_a_pose_and_a_background_for_each_of_theirs(rendered):
    factors = read_sample(str(rendered), "train").factors
    drawn = scenes(factors)
    for name, values in factors.attributes.items():
        assert [getattr(scene.identity, name) for scene in drawn] == values.tolist()
    for told, shown in (
        (factors.pose, [scene.pose.keypoints.tobytes() for scene in drawn]),
        (factors.background, [repr(scene.background) for scene in drawn]),
    ):
        pairs = set(zip(told.tolist(), shown, strict=True))
        assert len(pairs) == len(set(told.tolist()))
        assert len(set(shown)) > 1
    assert render(drawn[0]).image.shape == (64, 64, 3)
