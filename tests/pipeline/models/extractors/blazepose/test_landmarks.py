"""BlazePose's landmarks become OpenPose's keypoints, each under its own name."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.imaging.openpose18 import (
    L_ANKLE,
    L_EAR,
    L_SHOULDER,
    NECK,
    NOSE,
    R_EYE,
    R_HIP,
    R_SHOULDER,
    R_WRIST,
)  # fmt: skip
from pipeline.models.extractors.blazepose.landmarks import COUNT, VALUES, openpose_from_landmarks

NUMBERS = {NOSE: 0, R_EYE: 5, L_EAR: 7, L_SHOULDER: 11, R_SHOULDER: 12, R_WRIST: 16, R_HIP: 24, L_ANKLE: 27}
"""By OpenPose's keypoint, BlazePose's landmark as its documentation counts them."""


def answer() -> np.ndarray:
    """Landmark n lies at (n, 2n) pixels, all as good as sure to be there and to be hidden."""
    numbers = np.arange(COUNT, dtype=np.float32)
    return np.column_stack([numbers, 2 * numbers, 0 * numbers, 0 * numbers - 30, 0 * numbers + 30])


def test_each_keypoint_is_the_landmark_of_its_name() -> None:
    pose = openpose_from_landmarks(answer().ravel(), 256)
    assert pose.shape == (18, 3)
    for keypoint, number in NUMBERS.items():
        assert pose[keypoint] == pytest.approx((number / 256, 2 * number / 256, 1))
    assert len({*map(tuple, pose[:, :2])}) == 18


def test_the_neck_lies_between_the_shoulders_and_is_as_sure_as_the_worse() -> None:
    raw = answer()
    raw[12, 4] = 0
    pose = openpose_from_landmarks(raw.ravel(), 256)
    assert pose[NECK] == pytest.approx((11.5 / 256, 23 / 256, 0.5))


def test_presence_is_the_confidence() -> None:
    raw = answer()
    raw[:, 4] = np.log(4)
    assert raw.size == COUNT * VALUES
    assert openpose_from_landmarks(raw.ravel(), 256)[:, 2] == pytest.approx(np.full(18, 0.8))
