"""Masks lose small holes and islands, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.imaging.components import clean_mask, main_component


def blob() -> np.ndarray:
    """A 40 x 40 square with a 3 x 3 hole and a 20 x 10 one, an island of 5 x 5 and one of 10 x 15."""
    mask = np.zeros((64, 64), bool)
    mask[2:42, 2:42] = True
    mask[5:8, 5:8] = False
    mask[15:35, 15:25] = False
    mask[50:55, 2:7] = True
    mask[46:61, 50:60] = True
    return mask


def test_small_holes_are_filled_and_small_islands_dropped() -> None:
    cleaned = clean_mask(blob(), max_hole=0.05, max_island=0.05)
    expected = blob()
    expected[5:8, 5:8] = True
    expected[50:55, 2:7] = False
    assert np.array_equal(cleaned, expected)


def test_with_larger_limits_everything_but_the_main_piece_goes() -> None:
    cleaned = clean_mask(blob(), max_hole=0.2, max_island=0.2)
    expected = np.zeros_like(cleaned)
    expected[2:42, 2:42] = True
    assert np.array_equal(cleaned, expected)


def test_the_largest_piece_stays_whatever_the_limit() -> None:
    mask = np.zeros((8, 8), bool)
    mask[2:4, 2:4] = True
    mask[6, 6] = True
    assert clean_mask(mask, 1, 1).sum() == 4
    assert not clean_mask(np.zeros((8, 8), bool), 1, 1).any()
    assert clean_mask(np.ones((8, 8), bool), 1, 1).all()


def test_background_that_reaches_the_border_is_no_hole() -> None:
    mask = np.ones((16, 16), bool)
    mask[0, 4] = False  # small, but open to the outside
    mask[8, 8] = False
    cleaned = clean_mask(mask, max_hole=0.05, max_island=0.05)
    assert not cleaned[0, 4]
    assert cleaned[8, 8]


def test_pieces_that_touch_at_a_corner_are_one() -> None:
    mask = np.zeros((8, 8), bool)
    mask[1, 1] = mask[2, 2] = True
    assert main_component(mask) == 1


def test_main_component_is_the_largest_share() -> None:
    mask = np.zeros((16, 16), bool)
    assert main_component(mask) == 0
    mask[0:3, 0:3] = True
    assert main_component(mask) == 1
    mask[10, 10] = True
    assert main_component(mask) == pytest.approx(0.9)


def test_the_input_is_left_alone() -> None:
    mask = blob()
    clean_mask(mask, 0.2, 0.2)
    assert np.array_equal(mask, blob())
