"""Keypoints turn as their pictures do."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pipeline.imaging.openpose18 import MIRRORED, NAMES
from pipeline.imaging.turn import TRANSPOSE, turned


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_spot_stays_on_its_keypoint(orientation: int) -> None:
    rng = np.random.default_rng(orientation)
    pose = np.column_stack([rng.integers(0, 40, 18), rng.integers(0, 30, 18), np.ones(18)]).astype(float)
    middles = pose + np.array([0.5, 0.5, 0])
    middles[4] = 0
    upright = turned(middles, 40, 30, orientation)
    for number in range(18):
        image = Image.new("L", (40, 30))
        image.putpixel((int(pose[number, 0]), int(pose[number, 1])), 255)
        if orientation in TRANSPOSE:
            image = image.transpose(TRANSPOSE[orientation])
        at = MIRRORED[number] if orientation in (2, 4, 5, 7) else number
        if number == 4:
            assert upright[at].tolist() == [0, 0, 0], NAMES[number]
        else:
            (row, column), *_ = np.argwhere(np.asarray(image))
            assert upright[at, :2].tolist() == [column + 0.5, row + 0.5], NAMES[number]
