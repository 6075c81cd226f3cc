"""From the detector's raw answers to one detection a person."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.models.extractors.blazepose.detection import SIDE, Detections, anchors, decode, iou, letterbox, merge


def detections(*boxes: tuple[float, float, float, float, float]) -> Detections:
    """From (score, x0, y0, x1, y1); the points lie at the boxes' corners."""
    values = np.array(boxes).reshape(-1, 5)
    corners = values[:, [1, 2, 3, 2, 1, 4, 3, 4]].reshape(-1, 4, 2)
    return Detections(values[:, 0], values[:, 1:], corners)


def test_anchors_are_the_middles_of_the_cells() -> None:
    places = anchors()
    assert places.shape == (28 * 28 * 2 + 14 * 14 * 2 + 7 * 7 * 6, 2)
    assert places[0] == pytest.approx((0.5 / 28, 0.5 / 28))
    assert places[2] == pytest.approx((1.5 / 28, 0.5 / 28))  # two in a cell, and x runs first
    assert places[28 * 28 * 2 + 2 * 14] == pytest.approx((0.5 / 14, 1.5 / 14))
    assert places[-1] == pytest.approx((6.5 / 7, 6.5 / 7))


def test_answers_count_from_their_anchors() -> None:
    raw, logits = np.zeros((2254, 12), np.float32), np.full((2254, 1), -50, np.float32)
    raw[2200] = [0.1 * SIDE, 0.2 * SIDE, 0.4 * SIDE, 0.3 * SIDE, *(0.05 * SIDE,) * 4, *(0,) * 4]
    logits[[2200, 7]] = [[np.log(3)], [np.log(9)]]
    found = decode(raw, logits, 0.5)
    assert found.scores == pytest.approx([0.9, 0.75])  # best first
    x, y = anchors()[2200]
    assert found.boxes[1] == pytest.approx((x + 0.1 - 0.2, y + 0.2 - 0.15, x + 0.1 + 0.2, y + 0.2 + 0.15))
    assert found.points[1, 0] == pytest.approx((x + 0.05, y + 0.05))
    assert found.points[1, 2] == pytest.approx((x, y))
    assert len(decode(raw, logits, 0.8).scores) == 1
    assert len(decode(raw, logits - 100, 0.5).scores) == 0


def test_boxes_of_one_person_become_their_mean_weighted_by_score() -> None:
    merged = merge(detections((0.9, 0, 0, 0.4, 0.4), (0.6, 0.1, 0, 0.5, 0.4), (0.8, 0.6, 0.6, 0.9, 0.9)), 0.15)
    assert merged.scores == pytest.approx([0.9, 0.8])
    assert merged.boxes[0] == pytest.approx((0.04, 0, 0.44, 0.4))
    assert merged.points[0, 0] == pytest.approx((0.04, 0))
    assert merged.boxes[1] == pytest.approx((0.6, 0.6, 0.9, 0.9))


def test_neighbours_that_hardly_overlap_stay_two() -> None:
    side_by_side = detections((0.9, 0, 0, 0.4, 0.4), (0.8, 0.32, 0, 0.72, 0.4))
    assert iou(side_by_side.boxes[0], side_by_side.boxes)[1] == pytest.approx(0.08 / 0.72)
    assert len(merge(side_by_side, 0.15).scores) == 2
    assert len(merge(side_by_side, 0.1).scores) == 1


def test_nothing_and_an_empty_box_are_no_trouble() -> None:
    nothing = merge(detections(), 0.15)
    assert [part.shape for part in nothing] == [(0,), (0, 4), (0, 4, 2)]
    assert len(merge(detections((0.9, 0.5, 0.5, 0.5, 0.5)), 0.15).scores) == 1


@pytest.mark.parametrize(("height", "width"), [(100, 300), (301, 100), (50, 50), (1, 700)])
def test_the_letterbox_keeps_shape_and_knows_the_way_back(height: int, width: int) -> None:
    image = np.full((height, width, 3), 255, np.uint8)
    square, to_picture = letterbox(image)
    assert (square.shape, square.dtype) == ((1, SIDE, SIDE, 3), np.float32)
    middle = to_picture @ np.array([0.5, 0.5, 1])
    assert middle == pytest.approx((width / 2, height / 2), abs=0.5)
    assert square.max() == pytest.approx(1, abs=0.01) or min(height, width) == 1
    share = (square > 0).mean()
    assert share == pytest.approx(min(height, width) / max(height, width), abs=0.02)
