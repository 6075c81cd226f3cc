"""Pasting keeps the subject's pixels, takes the background's elsewhere, and hides the seam."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.imaging.paste import kept_area, paste, seam

SUBJECT = np.full((64, 64, 3), (200, 40, 40), np.uint8)
PAINTED = np.full((64, 64, 3), (10, 10, 220), np.uint8)


def square() -> np.ndarray:
    mask = np.zeros((64, 64), bool)
    mask[20:44, 20:44] = True
    return mask


def test_without_feather_each_pixel_is_one_or_the_other() -> None:
    image = paste(SUBJECT, PAINTED, seam(square(), 0))
    assert (image[square()] == (200, 40, 40)).all()
    assert (image[~square()] == (10, 10, 220)).all()


def test_the_feather_is_soft_at_the_edge_and_nowhere_else() -> None:
    image = paste(SUBJECT, PAINTED, seam(square(), 1 / 64)).astype(int)
    assert (image[26:38, 26:38] == (200, 40, 40)).all()
    assert (image[~square()] == (10, 10, 220)).all()  # nothing of the rim outside
    edge = image[32, 19:26, 0]
    assert (np.diff(edge) >= 0).all()
    assert np.diff(edge).max() < 110  # of the 190 between the two: no step
    assert 30 < edge[1] < 150


def test_a_mask_at_the_border_is_not_feathered_there() -> None:
    mask = np.zeros((64, 64), bool)
    mask[40:, :] = True
    assert seam(mask, 2 / 64)[63, :, 0] == pytest.approx(1)


@pytest.mark.parametrize(("margin", "grown"), [(0, 0), (1 / 64, 1), (4 / 64, 4)])
def test_the_kept_area_grows_by_the_margin(margin: float, grown: int) -> None:
    rows = np.flatnonzero(kept_area(square(), margin)[:, 32])
    assert (rows.min(), rows.max()) == (20 - grown, 43 + grown)


def test_inputs_are_left_alone() -> None:
    mask = square()
    kept_area(mask, 0.1)
    paste(SUBJECT, PAINTED, seam(mask, 0.02))
    assert np.array_equal(mask, square())
    assert (SUBJECT == (200, 40, 40)).all()
    assert (PAINTED == (10, 10, 220)).all()
