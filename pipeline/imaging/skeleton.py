"""The control image: a pose drawn as the coloured stick figure that OpenPose ControlNets are trained on.

Drawn with code of our own. Limbs are ellipses at 60 % of their colour with the joints as full-coloured dots on top, in
the order and the hues that the field settled on, so that published ControlNets read it. Training of the miniature
world's ControlNet draws with this very function.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from pipeline.imaging import openpose18

if TYPE_CHECKING:
    from PIL.Image import Image

_LIMBS = np.array(openpose18.LIMBS)
COLORS = np.array(
    [
        (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0), (0, 255, 0),
        (0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255), (0, 0, 255), (85, 0, 255),
        (170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85),
    ]
)  # fmt: skip
"""Colour of joint i, and (at 60 %) of limb i."""

_FRACTION_BITS = 4  # OpenCV draws at sub-pixel places given as fixed-point integers


def draw_pose(keypoints: np.ndarray | list[list[float]], size: int, line_width: float = 0.016) -> Image:
    """Draws one person's pose on black.

    Args:
        keypoints: ``[18, 3]``, OpenPose order: x, y in 0..1 of the square, confidence. Confidence 0 = missing: neither
            the joint nor a limb that ends in it is drawn. Joints outside the square are drawn as far as they reach in.
        size: Side of the picture, pixels.
        line_width: Width of a limb and diameter of a joint, as a share of the side (0.016 of 512 px = 8 px).

    Returns:
        RGB picture, ``size x size``, antialiased.
    """
    import cv2
    from PIL import Image

    points = np.asarray(keypoints, np.float64)
    if points.shape != (openpose18.KEYPOINTS, 3):
        raise ValueError(f"keypoints: shape {points.shape}, must be (18, 3)")
    factor = 4 if size <= 256 else 2  # drawn larger and averaged down: smooth, and exact to a fraction of a pixel
    side = size * factor
    seen = points[:, 2] > 0
    canvas = np.zeros((side, side, 3), np.uint8)
    xy = points[:, :2] * side - 0.5
    radius = max(line_width * side / 2, factor / 2)
    limbs = np.flatnonzero(seen[_LIMBS].all(axis=1))
    start, end = xy[_LIMBS[limbs, 0]], xy[_LIMBS[limbs, 1]]
    along = (end - start) / 2
    length = np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-6)
    across = along[:, ::-1] * (-1, 1) / length * radius
    circle = _circle()
    # [limbs, corners, 2]: centre + cos * half the limb + sin * half the width
    outlines = ((start + end) / 2)[:, None] + circle[:, :1] * along[:, None] + circle[:, 1:] * across[:, None]
    for limb, outline in zip(limbs, _fixed(outlines), strict=True):
        cv2.fillConvexPoly(canvas, outline, (COLORS[limb] * 0.6).astype(int).tolist(), shift=_FRACTION_BITS)
    joints = np.flatnonzero(seen)
    for joint, outline in zip(joints, _fixed(xy[joints, None] + circle * radius), strict=True):
        cv2.fillConvexPoly(canvas, outline, COLORS[joint].tolist(), shift=_FRACTION_BITS)
    return Image.fromarray(cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA))


@functools.cache
def _circle() -> np.ndarray:
    """Unit circle as a polygon, ``[24, 2]`` (cos, sin)."""
    angles = np.arange(24) * (2 * np.pi / 24)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _fixed(outlines: np.ndarray) -> np.ndarray:
    """Pixels as OpenCV's fixed-point integers; far-off places are clamped so that they cannot overflow."""
    return np.round(np.clip(outlines, -20_000, 20_000) * (1 << _FRACTION_BITS)).astype(np.int32)
