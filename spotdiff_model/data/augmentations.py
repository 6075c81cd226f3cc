"""Augmentations of a training picture: bent, mirrored, turned, stretched, scaled and moved, with its keypoints.

A build has a few dozen poses; with each picture's figure bent and seen in another frame there are as many as pictures.
They are numbered from 1 and fixed by the picture's hash, so that what the frozen models make of them can be cached.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from pipeline.imaging.openpose18 import MIRRORED
from spotdiff_model.data.bending import bent, rotation, warp

VERSION = 5
"""Raised when the augmentations of a picture change, so that caches notice."""
_SCALE, _STRETCH, _TURN, _SHIFT = 0.2, 0.12, 0.25, 0.1
"""Logs of zoom and stretch, radians, and image sides, each up to which an augmentation may differ."""


def augment(image: Image.Image, keypoints: np.ndarray, sha256: str, number: int = 1) -> tuple[Image.Image, np.ndarray]:
    """An augmentation of a picture.

    Args:
        image: Square, RGB.
        keypoints: ``[18, 3]``: x, y in 0..1, confidence.
        sha256: Of the picture's bytes; settles the augmentation, together with ``number``.
        number: Which of its augmentations, from 1.

    Returns:
        The picture (reflected where the new frame reaches beyond it) and its keypoints; those outside are (0, 0, 0).
    """
    visible = keypoints[:, 2] > 0
    if visible.any():
        image = warp(image, keypoints[visible, :2], _bent(keypoints, sha256, number)[visible, :2])
    mirror, turn, offset = _placement(sha256, number)
    if mirror:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return _moved(image, turn, offset), augment_keypoints(keypoints, sha256, number)


def augment_keypoints(keypoints: np.ndarray, sha256: str, number: int = 1) -> np.ndarray:
    """The keypoints ``[18, 3]`` of :func:`augment`, without its picture."""
    mirror, turn, offset = _placement(sha256, number)
    points = _bent(keypoints, sha256, number).astype(np.float32)
    if mirror:
        points = points[list(MIRRORED)]
        points[:, 0] = 1 - points[:, 0]
    visible = points[:, 2] > 0
    points[:, :2] = points[:, :2] @ turn.T + offset
    points[~visible | (points[:, :2] < 0).any(axis=1) | (points[:, :2] >= 1).any(axis=1)] = 0
    return points


def _bent(keypoints: np.ndarray, sha256: str, number: int) -> np.ndarray:
    return bent(keypoints, np.random.default_rng([int(sha256[15:30], 16), number, VERSION]))


def _placement(sha256: str, number: int) -> tuple[bool, np.ndarray, np.ndarray]:
    """Whether mirrored; then the map ``p -> turn @ p + offset`` of places in image sides."""
    rng = np.random.default_rng([int(sha256[:15], 16), number, VERSION])
    mirror = bool(rng.random() < 0.5)
    axis = rotation(rng.uniform(0, np.pi))
    stretch = np.exp(rng.uniform(0, _STRETCH) * np.array([1, -1]) + rng.uniform(-_SCALE, _SCALE))
    turn = rotation(rng.uniform(-_TURN, _TURN)) @ axis @ np.diag(stretch) @ axis.T
    return mirror, turn, np.array([0.5, 0.5]) + rng.uniform(-_SHIFT, _SHIFT, 2) - turn @ np.array([0.5, 0.5])


def _moved(image: Image.Image, turn: np.ndarray, offset: np.ndarray) -> Image.Image:
    import cv2

    side = image.width
    moved = np.column_stack([turn, offset * side - 0.5 + turn @ np.array([0.5, 0.5])])  # pixels' middles are at .5
    warped = cv2.warpAffine(
        np.asarray(image), moved, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )
    return Image.fromarray(warped)
