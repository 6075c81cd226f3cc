"""The square around a person: where it lies, how it is turned, and that what is read in it goes back."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.models.extractors.blazepose.region import SIDE, cut, region, to_picture

HIPS = np.array([200.0, 300.0])
CORNERS = np.array([(0, 0), (1, 0), (0, 1), (0.5, 0.5)], np.float64)


def test_an_upright_person_s_square_is_upright() -> None:
    corners = to_picture(CORNERS, region(HIPS, HIPS - (0, 100)))
    assert corners == pytest.approx(np.array([(75, 175), (325, 175), (75, 425), (200, 300)]))


@pytest.mark.parametrize("degrees", [0, 30, 90, 180, 275])
def test_the_head_is_up_and_left_stays_left(degrees: int) -> None:
    turn = np.radians(degrees)
    up, right = np.array([np.sin(turn), -np.cos(turn)]), np.array([np.cos(turn), np.sin(turn)])
    area = region(HIPS, HIPS + 80 * up)
    above, beside = to_picture(np.array([(0.5, 0.0), (1.0, 0.5)]), area)
    assert above == pytest.approx(HIPS + 100 * up)  # 80 x 2.5 is the whole side
    assert beside == pytest.approx(HIPS + 100 * right)


@pytest.mark.parametrize(("reach", "degrees"), [(40, 0), (40, 70), (160, -35), (400, 130)])
def test_what_is_cut_out_lies_where_the_region_says(reach: float, degrees: float) -> None:
    """A soft dot in the picture is found again in the cut-out, enlarged or made smaller."""
    rows, columns = np.mgrid[:700, :500] + 0.5
    dot = np.array([230.0, 330.0])
    spread = max(3.0, reach / 20)
    bright = 255 * np.exp(-((columns - dot[0]) ** 2 + (rows - dot[1]) ** 2) / (2 * spread**2))
    image = np.repeat(bright.round().astype(np.uint8)[..., None], 3, axis=2)
    turn = np.radians(degrees)
    area = region(HIPS, HIPS + reach * np.array([np.sin(turn), -np.cos(turn)]))
    (seen,) = cut(image, area)
    assert (seen.shape, seen.dtype) == ((SIDE, SIDE, 3), np.float32)
    assert 0 <= seen.min() <= seen.max() <= 1
    weights = seen[..., 0]
    y, x = (np.mgrid[:SIDE, :SIDE] + 0.5) / SIDE
    middle = np.array([(weights * x).sum(), (weights * y).sum()]) / weights.sum()
    assert to_picture(middle[None], area)[0] == pytest.approx(dot, abs=1.0)


def test_beyond_the_picture_it_is_black() -> None:
    (seen,) = cut(np.full((50, 50, 3), 255, np.uint8), region(np.array([0.0, 0.0]), np.array([0.0, -20.0])))
    assert seen[-1, -1].tolist() == [1, 1, 1]
    assert seen[0].max() == seen[:, 0].max() == 0
