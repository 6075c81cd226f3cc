"""EXIF orientations: how a stored picture is turned to be seen upright, and its keypoints with it."""

from __future__ import annotations

import numpy as np
from PIL import Image

from pipeline.imaging.openpose18 import MIRRORED

TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""By orientation what makes the stored picture upright; 1: nothing."""
_MIRRORING = (2, 4, 5, 7)


def turned(pose: np.ndarray, width: float, height: float, orientation: int) -> np.ndarray:
    """A pose of the stored picture as one of the upright picture.

    Left and right change places where the stored picture is a mirror image.

    Args:
        pose: ``[18, 3]``, pixels of the stored picture; missing keypoints are (0, 0, 0).
        width, height: Of the stored picture, pixels.
        orientation: EXIF's, 1 to 8.
    """
    x, y, sure = pose.T
    places = {
        2: (width - x, y),
        3: (width - x, height - y),
        4: (x, height - y),
        5: (y, x),
        6: (height - y, x),
        7: (height - y, width - x),
        8: (y, width - x),
    }
    upright = np.column_stack([*places.get(orientation, (x, y)), sure])
    upright[sure <= 0] = 0.0
    return upright[list(MIRRORED)] if orientation in _MIRRORING else upright
