"""Reads the colours that a figure wears at its joints, from a picture's pixels alone."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from pipeline.imaging.openpose18 import (
    L_ELBOW,
    L_HIP,
    L_KNEE,
    L_SHOULDER,
    L_WRIST,
    R_ELBOW,
    R_HIP,
    R_KNEE,
    R_SHOULDER,
    R_WRIST,
)
from tinyworld.world.palette import CLOTHING, nearest

_SIDE = 64
_UPPER_ARMS = ((R_SHOULDER, R_ELBOW), (L_SHOULDER, L_ELBOW))
_ARMS = (*_UPPER_ARMS, (R_ELBOW, R_WRIST), (L_ELBOW, L_WRIST))
_THIGHS = ((R_HIP, R_KNEE), (L_HIP, L_KNEE))
_ARM_REACH = 0.06
"""Points of other limbs nearer than this to an arm may be covered by it (image sides)."""
_SHORT = 0.08
"""A limb seen shorter than this is foreshortened: what it wears may be hidden."""


def shirt_color(image: np.ndarray, keypoints: np.ndarray) -> str | None:
    """The nearest clothing colour at the middle of the upper arms (sleeves are never patterned); None: not visible."""
    return _color_between(image, keypoints, _UPPER_ARMS, (0.35, 0.5, 0.65))


def bottom_color(image: np.ndarray, keypoints: np.ndarray) -> str | None:
    """The nearest clothing colour on the middle of the thighs; None: not visible."""
    return _color_between(image, keypoints, _THIGHS, (0.45, 0.55, 0.65))


def _color_between(
    image: np.ndarray, keypoints: np.ndarray, limbs: Iterable[tuple[int, int]], places: tuple[float, ...]
) -> str | None:
    """The commonest nearest palette colour over points along the limbs, leaving out points that an arm may cover."""
    names = []
    for a, b in limbs:
        length = np.linalg.norm(keypoints[a, :2] - keypoints[b, :2])
        if min(keypoints[a, 2], keypoints[b, 2]) <= 0 or length < _SHORT:
            continue
        for place in places:
            point = (1 - place) * keypoints[a, :2] + place * keypoints[b, :2]
            if any(_distance(point, keypoints[list(arm)]) < _ARM_REACH for arm in _ARMS if a not in arm):
                continue
            x, y = np.minimum((point * _SIDE).astype(int), _SIDE - 1)
            names.append(nearest(tuple(image[y, x].astype(float)), names=CLOTHING))
    return max(sorted(set(names)), key=names.count) if names else None


def _distance(point: np.ndarray, ends: np.ndarray) -> float:
    """From a point to a limb, in image sides; infinite where the limb is not in the picture."""
    if ends[:, 2].min() <= 0:
        return float("inf")
    along = ends[1, :2] - ends[0, :2]
    t = np.clip(np.dot(point - ends[0, :2], along) / max(np.dot(along, along), 1e-9), 0, 1.3)  # 1.3: the hand
    return float(np.linalg.norm(point - ends[0, :2] - t * along))
