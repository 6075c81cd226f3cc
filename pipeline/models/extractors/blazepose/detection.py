"""BlazePose's first step: where the people are. From the detector's raw answers to one detection a person.

Anchors, decoding and merging as in MediaPipe's ``pose_detection`` graph (Apache-2.0).
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

SIDE = 224
"""Of the detector's input, pixels."""
_GRIDS = ((28, 2), (14, 2), (7, 6))
"""Cells along a side, and anchors in each cell, in the order of the detector's answers."""
_POINTS = 4


class Detections(NamedTuple):
    """N people, best first; coordinates in 0..1 of the letterboxed square.

    Attributes:
        scores: ``[N]`` in 0..1.
        boxes: ``[N, 4]`` x0, y0, x1, y1 around the face.
        points: ``[N, 4, 2]``: middle of the hips, a point of the circle around the whole body, and the same two for the
            upper body, which nobody asks for.
    """

    scores: np.ndarray
    boxes: np.ndarray
    points: np.ndarray


def letterbox(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The picture on a black square, as the detector wants it.

    Args:
        image: ``[H, W, 3]`` uint8 RGB.

    Returns:
        ``[1, 224, 224, 3]`` float32 in -1..1, and ``[2, 3]``: from 0..1 of that square to pixels of the picture.
    """
    height, width = image.shape[:2]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    square = cv2.copyMakeBorder(image, top, side - height - top, left, side - width - left, cv2.BORDER_CONSTANT)
    small = cv2.resize(square, (SIDE, SIDE), interpolation=cv2.INTER_AREA if side > SIDE else cv2.INTER_LINEAR)
    to_picture = np.array([[side, 0, -left], [0, side, -top]], np.float64)
    return (small[None].astype(np.float32) / 127.5) - 1, to_picture


def anchors() -> np.ndarray:
    """``[2254, 2]``: the points, in 0..1 of the square, that the detector's answers count from."""
    layers = []
    for cells, each in _GRIDS:
        middles = (np.arange(cells) + 0.5) / cells
        x, y = np.meshgrid(middles, middles)
        layers.append(np.repeat(np.stack([x, y], axis=-1).reshape(-1, 2), each, axis=0))
    return np.concatenate(layers)


def decode(raw: np.ndarray, logits: np.ndarray, min_score: float) -> Detections:
    """The detector's answers as detections, those below ``min_score`` left out; several of each person.

    Args:
        raw: ``[2254, 12]``: centre and size of the box, then the four points; pixels from the anchor.
        logits: ``[2254]`` or ``[2254, 1]``.
        min_score: In 0..1.
    """
    scores = 1 / (1 + np.exp(-logits.reshape(-1).astype(np.float64).clip(-100, 100)))
    kept = np.flatnonzero(scores >= min_score)
    kept = kept[np.argsort(-scores[kept], kind="stable")]
    places, origins = raw[kept].astype(np.float64) / SIDE, anchors()[kept]
    centres, sizes = places[:, :2] + origins, places[:, 2:4]
    points = places[:, 4:].reshape(-1, _POINTS, 2) + origins[:, None]
    return Detections(scores[kept], np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1), points)


def merge(found: Detections, min_iou: float) -> Detections:
    """One detection a person: those whose boxes overlap with the best one's become their mean, weighted by score."""
    scores, boxes, points = [], [], []
    left = np.arange(len(found.scores))
    while len(left):
        together = iou(found.boxes[left[0]], found.boxes[left]) > min_iou
        together[0] = True  # an empty box overlaps with nothing, not even with itself
        group, left = left[together], left[~together]
        weights = found.scores[group] / found.scores[group].sum()
        scores.append(found.scores[group[0]])
        boxes.append(weights @ found.boxes[group])
        points.append(np.einsum("n,npc->pc", weights, found.points[group]))
    count = len(scores)
    return Detections(np.reshape(scores, count), np.reshape(boxes, (count, 4)), np.reshape(points, (count, _POINTS, 2)))


def iou(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of a box ``[4]`` with each of ``[N, 4]``, 0..1."""
    corner, far = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = (far - corner).clip(0).prod(axis=1)
    areas = (others[:, 2:] - others[:, :2]).clip(0).prod(axis=1) + (box[2:] - box[:2]).clip(0).prod()
    return np.asarray(shared / np.maximum(areas - shared, 1e-12))
