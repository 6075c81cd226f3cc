"""The control image is what OpenPose ControlNets expect: the right joint in the right hue at the right place."""

from __future__ import annotations

import time

import numpy as np
import pytest

from pipeline.imaging.openpose18 import LIMBS
from pipeline.imaging.skeleton import COLORS, draw_pose

STANDING = [
    (0.50, 0.15), (0.50, 0.28), (0.40, 0.28), (0.30, 0.42), (0.25, 0.55), (0.60, 0.28), (0.70, 0.20), (0.75, 0.10),
    (0.43, 0.55), (0.42, 0.75), (0.40, 0.93), (0.57, 0.55), (0.60, 0.75), (0.62, 0.93),
    (0.46, 0.11), (0.54, 0.11), (0.40, 0.13), (0.60, 0.13),
]  # fmt: skip


def standing() -> np.ndarray:
    return np.array([(x, y, 1.0) for x, y in STANDING])


@pytest.mark.parametrize("size", [64, 512])
@pytest.mark.parametrize("joint", range(18))
def test_every_joint_has_its_colour_at_its_place(size: int, joint: int) -> None:
    alone = np.zeros((18, 3))
    alone[joint] = standing()[joint]
    picture = np.asarray(draw_pose(alone, size, 0.06)).astype(float)
    y, x = np.nonzero(picture.sum(axis=2))
    assert ((x.mean() + 0.5) / size, (y.mean() + 0.5) / size) == pytest.approx(tuple(alone[joint, :2]), abs=0.01)
    brightest = picture.reshape(-1, 3)[picture.sum(axis=2).argmax()]
    assert brightest == pytest.approx(COLORS[joint], abs=12)


def test_the_limbs_are_openpose_s_seventeen_at_sixty_percent() -> None:
    picture = np.asarray(draw_pose(standing(), 512, 0.016)).astype(int)
    for limb in (2, 7, 12):  # right upper arm, right thigh, neck to nose: crossed by nothing else
        start, end = (standing()[joint, :2] for joint in LIMBS[limb])
        x, y = (0.5 * (start + end) * 512).astype(int)
        assert picture[y, x] == pytest.approx((COLORS[limb] * 0.6).astype(int), abs=1)
    assert len(LIMBS) == 17
    assert {joint for limb in LIMBS for joint in limb} == set(range(18))


def test_a_missing_joint_takes_its_limbs_along() -> None:
    points = standing()
    points[3, 2] = 0  # right elbow: upper arm and forearm go, the wrist's dot stays
    picture = np.asarray(draw_pose(points, 256, 0.016)).astype(int)
    x, y = (0.5 * (standing()[2, :2] + standing()[3, :2]) * 256).astype(int)
    assert picture[y, x].sum() == 0
    x, y = (standing()[4, :2] * 256).astype(int)
    assert picture[y, x] == pytest.approx(COLORS[4], abs=12)


def test_left_and_right_differ_and_all_missing_is_black() -> None:
    mirrored = standing()
    mirrored[:, 0] = 1 - mirrored[:, 0]
    flipped = np.asarray(draw_pose(mirrored, 64, 0.03))[:, ::-1]
    assert np.abs(flipped.astype(int) - np.asarray(draw_pose(standing(), 64, 0.03))).max() < 40
    swapped = standing()[[0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 15, 14, 17, 16]]
    assert np.abs(np.asarray(draw_pose(swapped, 64, 0.03)).astype(int) - flipped).max() > 100
    assert not np.asarray(draw_pose(np.zeros((18, 3)), 64)).any()


def test_the_line_width_is_a_share_of_the_side() -> None:
    def width(size: int, share: float) -> float:
        points = np.zeros((18, 3))
        points[8], points[9] = (0.5, 0.1, 1), (0.5, 0.9, 1)
        row = np.asarray(draw_pose(points, size, share))[size // 2].max(axis=1)
        return row.sum() / row.max() / size

    assert width(64, 0.06) == pytest.approx(0.06, abs=0.01)
    assert width(512, 0.06) == pytest.approx(0.06, abs=0.005)
    assert width(64, 0.03) == pytest.approx(0.03, abs=0.01)


def test_joints_far_outside_and_wrong_shapes() -> None:
    points = standing()
    points[13, :2] = (0.6, 400.0)
    assert np.asarray(draw_pose(points, 64)).any()
    with pytest.raises(ValueError, match=r"\(18, 3\)"):
        draw_pose(np.zeros((17, 3)), 64)


def test_it_is_quick_enough_to_draw_training_data_on_the_fly() -> None:
    draw_pose(standing(), 64, 0.03)
    best = min(_seconds() for _ in range(20))
    assert best < 0.002


def _seconds() -> float:
    start = time.perf_counter()
    draw_pose(standing(), 64, 0.03)
    return time.perf_counter() - start
