"""Bent figures: new poses of the same limbs, and pictures that follow."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pipeline.imaging.openpose18 import PARENTS
from spotdiff_model.data.bending import bent, warp
from tinyworld.world import render_seed


@pytest.fixture
def pose() -> np.ndarray:
    whole = (points for seed in range(50) if ((points := render_seed(seed).keypoints)[:, 2] > 0).all())
    return np.asarray(next(whole), np.float64)


def test_limbs_turn_but_hardly_change_their_length(pose: np.ndarray) -> None:
    moved = bent(pose, np.random.default_rng(0))
    joints, parents = np.array([*PARENTS]), np.array([*PARENTS.values()])
    before, after = (np.linalg.norm(p[joints, :2] - p[parents, :2], axis=1) for p in (pose, moved))
    assert np.abs(np.log(after / before)).max() < 0.3
    assert np.linalg.norm(moved[[4, 7, 10, 13], :2] - pose[[4, 7, 10, 13], :2], axis=1).max() > 0.05
    assert np.array_equal(moved[:, 2], pose[:, 2])


def test_missing_joints_stay_missing_and_what_hangs_on_them_stays_in_place(pose: np.ndarray) -> None:
    pose[3] = 0  # no elbow: the wrist hangs on nothing
    moved = bent(pose, np.random.default_rng(0))
    assert not moved[3].any()
    assert np.array_equal(moved[4], pose[4])


@pytest.mark.parametrize("joint", [4, 7, 10, 13])
def test_the_picture_follows_the_joints(pose: np.ndarray, joint: int) -> None:
    moved = bent(pose, np.random.default_rng(joint))
    side, (x, y) = 256, pose[joint, :2] * 256
    image = Image.new("L", (side, side))
    ImageDraw.Draw(image).ellipse((x - 6, y - 6, x + 6, y + 6), fill="white")
    found = np.asarray(warp(image, pose[:, :2], moved[:, :2]))
    there = tuple((moved[joint, [1, 0]] * side).astype(int))
    assert found[there] > 128
    assert np.mean(found > 128) < 0.02


def test_nothing_moves_where_no_joint_does(pose: np.ndarray) -> None:
    image = Image.fromarray(render_seed(0).image)
    same = np.asarray(warp(image, pose[:, :2], pose[:, :2]), float)
    assert np.abs(same - np.asarray(image, float)).mean() < 0.5
