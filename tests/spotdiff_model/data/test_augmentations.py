"""Augmentations of a picture: keypoints stay on what they mark."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from PIL import Image, ImageDraw

from spotdiff_model.data.augmentations import augment, augment_keypoints


@pytest.mark.parametrize("number", range(6))
def test_a_dot_stays_under_its_keypoint(number: int) -> None:
    name = hashlib.sha256(str(number).encode()).hexdigest()
    image = Image.new("RGB", (128, 128))
    ImageDraw.Draw(image).ellipse((0.4 * 128 - 4, 0.55 * 128 - 4, 0.4 * 128 + 4, 0.55 * 128 + 4), fill="white")
    points = np.zeros((18, 3), np.float32)
    points[4] = 0.4, 0.55, 0.9  # the right wrist, which in a mirror is the left one
    seen, moved = augment(image, points, name)
    (joint,) = np.flatnonzero(moved[:, 2])
    assert joint in (4, 7)
    rows, columns = np.nonzero(np.asarray(seen.convert("L")) > 128)
    assert columns.mean() + 0.5 == pytest.approx(moved[joint, 0] * 128, abs=1)
    assert rows.mean() + 0.5 == pytest.approx(moved[joint, 1] * 128, abs=1)
    assert np.array_equal(moved, augment_keypoints(points, name))


def test_augmentations_differ_and_stay_the_same() -> None:
    points = np.full((18, 3), 0.5, np.float32)
    names = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(20)]
    found = [augment_keypoints(points, name)[0].tolist() for name in names]
    assert len({tuple(point) for point in found}) == 20
    assert found[3] == augment_keypoints(points, names[3])[0].tolist()


def test_keypoints_that_leave_the_picture_are_missing() -> None:
    points = np.tile(np.array([0.999, 0.001, 1], np.float32), (18, 1))
    names = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(20)]
    moved = np.stack([augment_keypoints(points, name) for name in names])
    gone = moved[..., 2] == 0
    assert gone.any()
    assert not gone.all()
    assert not moved[gone].any()
