"""Poses as data: the right COCO joint in the right OpenPose place, similarity, the choice of a person."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.config import PoseSettings
from pipeline.imaging.keypoints import (
    box_of,
    in_frame,
    main_person,
    oks,
    openpose_from_coco,
)
from pipeline.imaging.openpose18 import SIGMAS
from pipeline.records import Reason

COCO = [
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
]  # fmt: skip
OPENPOSE = [
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
    "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "right_eye", "left_eye",
    "right_ear", "left_ear",
]  # fmt: skip


def coco_points(visibility: int = 2) -> np.ndarray:
    """Every joint at a place of its own: x = 10 * number, y = 5 * number."""
    return np.array([(10.0 * n, 5.0 * n, visibility) for n in range(17)])


def person(x0: float, y0: float, x1: float, y1: float, joints: int = 18, confidence: float = 1.0) -> np.ndarray:
    """A pose with this box around it."""
    pose = np.zeros((18, 3))
    pose[:joints, 0] = np.linspace(x0, x1, joints)
    pose[:joints, 1] = np.linspace(y0, y1, joints)
    pose[:joints, 2] = confidence
    return pose


def moved(pose: np.ndarray, shift: float) -> np.ndarray:
    return pose + np.array([shift, 0, 0])


@pytest.mark.parametrize("name", OPENPOSE)
def test_each_joint_comes_from_the_coco_joint_of_its_name(name: str) -> None:
    pose, points = openpose_from_coco(coco_points()), coco_points()
    if name == "neck":
        expected = (points[COCO.index("left_shoulder"), :2] + points[COCO.index("right_shoulder"), :2]) / 2
    else:
        expected = points[COCO.index(name), :2]
    assert pose[OPENPOSE.index(name)].tolist() == [*expected, 1.0]


def test_hidden_joints_count_and_unlabelled_ones_are_zeroed() -> None:
    points = coco_points(visibility=1)
    points[COCO.index("left_shoulder")] = (99, 99, 0)  # a place without a label means nothing
    pose = openpose_from_coco(points)
    assert pose[OPENPOSE.index("left_wrist"), 2] == 1
    assert pose[OPENPOSE.index("left_shoulder")].tolist() == [0, 0, 0]
    assert pose[OPENPOSE.index("neck")].tolist() == [0, 0, 0]  # half a shoulder line is no neck


def test_sigmas_follow_their_joints() -> None:
    assert SIGMAS[OPENPOSE.index("left_hip")] == 0.107
    assert SIGMAS[OPENPOSE.index("right_wrist")] == 0.062
    assert SIGMAS[OPENPOSE.index("left_eye")] == 0.025
    assert SIGMAS[OPENPOSE.index("neck")] == 0.079


def test_oks_is_one_for_the_same_pose_and_falls_with_distance() -> None:
    asked = person(0.2, 0.1, 0.8, 0.9)
    scores = [oks(asked, moved(asked, shift)) for shift in (0, 0.01, 0.03, 0.1, 0.5)]
    assert scores[0] == pytest.approx(1)
    assert scores == sorted(scores, reverse=True)
    assert scores[1] > 0.9
    assert scores[-1] < 0.05


def test_oks_by_hand() -> None:
    asked = np.zeros((18, 3))
    asked[4], asked[7] = (0.0, 0.0, 1), (0.8, 0.4, 1)  # wrists; the box's area is 0.8 * 0.4
    found = asked.copy()
    found[4, 0] = 0.05
    expected = (np.exp(-(0.05**2) / (2 * 0.32 * (2 * 0.062) ** 2)) + 1) / 2
    assert oks(asked, found) == pytest.approx(expected)


def test_oks_counts_missing_joints_and_ignores_extra_ones() -> None:
    asked = person(0.2, 0.1, 0.8, 0.9)
    half = asked.copy()
    half[::2] = 0
    assert oks(asked, half) == pytest.approx(0.5)
    assert oks(half, asked) == pytest.approx(1)
    assert oks(np.zeros((18, 3)), asked) == 0
    assert oks(asked, np.zeros((18, 3))) == 0


def test_oks_tells_left_from_right() -> None:
    asked = person(0.1, 0.1, 0.9, 0.9)
    swapped = asked[[0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 15, 14, 17, 16]]
    assert oks(asked, swapped) < 0.7


def test_a_pose_in_a_line_has_a_scale() -> None:
    asked = person(0.5, 0.1, 0.5, 0.9)
    assert 0.5 < oks(asked, moved(asked, 0.03)) < 1


def test_in_frame_moves_scales_and_drops_what_is_outside() -> None:
    points = np.array([(110.0, 60.0, 1.0), (300.0, 60.0, 1.0), (110.0, 60.0, 0.0), (100.0, 50.0, 0.5)])
    moved = in_frame(points, [100.0, 50.0, 40.0])
    assert moved.tolist() == [[0.25, 0.25, 1.0], [0, 0, 0], [0, 0, 0], [0, 0, 0.5]]
    assert points[0, 0] == 110  # not changed in place


def test_box_of_ignores_missing_joints() -> None:
    assert box_of(person(0.2, 0.3, 0.6, 0.9, joints=10)).tolist() == pytest.approx([0.2, 0.3, 0.6, 0.9])


SETTINGS = PoseSettings(min_confidence=0.3, min_keypoints=7, main_person_ratio=1.5)


def test_the_clearly_largest_person_is_the_main_one() -> None:
    small, large = person(0, 0, 0.3, 0.3), person(0.2, 0.2, 0.9, 0.9)
    chosen = main_person([small, large], SETTINGS)
    assert isinstance(chosen, np.ndarray)
    assert chosen.tolist() == large.tolist()


@pytest.mark.parametrize(
    ("people", "reason"),
    [
        ([], Reason.NO_PERSON),
        ([np.zeros((18, 3))], Reason.NO_PERSON),
        ([person(0, 0, 0.5, 0.5, confidence=0.2)], Reason.NO_PERSON),
        ([person(0, 0, 0.5, 0.5), person(0.5, 0.5, 0.92, 0.92)], Reason.SEVERAL_PEOPLE),
        ([person(0, 0, 0.5, 0.5, joints=6)], Reason.TOO_FEW_KEYPOINTS),
    ],
)
def test_why_there_is_no_main_person(people: list[np.ndarray], reason: Reason) -> None:
    assert main_person(people, SETTINGS) is reason


def test_seven_sure_keypoints_are_enough_and_unsure_ones_are_dropped() -> None:
    pose = person(0, 0, 0.5, 0.5, joints=8)
    pose[7, 2] = 0.29
    chosen = main_person([pose], SETTINGS)
    assert isinstance(chosen, np.ndarray)
    assert chosen[7].tolist() == [0, 0, 0]
    assert np.count_nonzero(chosen[:, 2]) == 7
