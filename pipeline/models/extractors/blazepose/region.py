"""BlazePose's region of interest: the turned square around one person, cut out upright."""

from __future__ import annotations

import cv2
import numpy as np

SIDE = 256
"""Of the cut-out, pixels."""
_MARGIN = 2.5
"""Side of the region by the distance from the hips to the circle around the body: its diameter and a quarter more."""


def region(hips: np.ndarray, rim: np.ndarray) -> np.ndarray:
    """The square around a person, turned so that the way from the hips to ``rim`` leads up.

    Args:
        hips: ``[2]``, pixels of the picture: the middle of the hips, which becomes the square's.
        rim: ``[2]``: a point of the circle around the body, in the direction of the head.

    Returns:
        ``[2, 3]``: from 0..1 of the square to pixels of the picture.
    """
    down = _MARGIN * (hips - rim)
    right = np.array([down[1], -down[0]])
    return np.column_stack([right, down, hips - (right + down) / 2])


def cut(image: np.ndarray, area: np.ndarray) -> np.ndarray:
    """What lies in a region, black beyond the picture.

    Args:
        image: ``[H, W, 3]`` uint8 RGB.
        area: ``[2, 3]`` as :func:`region` gives it.

    Returns:
        ``[1, 256, 256, 3]`` float32 in 0..1.
    """
    side = float(np.hypot(*area[:, 0]))
    shrink = min(1.0, SIDE / side)
    if shrink < 1:  # else most pixels would be passed over
        height, width = (max(1, round(length * shrink)) for length in image.shape[:2])
        area = area * np.array([[width / image.shape[1]], [height / image.shape[0]]])
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    steps = area[:, :2] / SIDE
    first = area[:, 2] + steps.sum(axis=1) / 2 - 0.5  # from middle of pixel to middle of pixel
    matrix = np.column_stack([steps, first])
    warped = cv2.warpAffine(image, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return warped[None].astype(np.float32) / 255


def to_picture(places: np.ndarray, area: np.ndarray) -> np.ndarray:
    """Places ``[N, 2]`` in 0..1 of a square to pixels of the picture."""
    return np.asarray(places @ area[:, :2].T + area[:, 2])
