"""Bends the figure of a picture at its joints, so that a few dozen poses become as many as there are pictures.

The keypoints move first, limb by limb; the picture follows by moving least squares (Schaefer et al. 2006, similarity
transforms), with the picture's edge held where it is.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from pipeline.imaging.openpose18 import (
    KEYPOINTS,
    L_ANKLE,
    L_EAR,
    L_ELBOW,
    L_EYE,
    L_HIP,
    L_KNEE,
    L_SHOULDER,
    L_WRIST,
    NOSE,
    PARENTS,
    R_ANKLE,
    R_EAR,
    R_ELBOW,
    R_EYE,
    R_HIP,
    R_KNEE,
    R_SHOULDER,
    R_WRIST,
)

_HELD = {R_EYE, L_EYE, R_EAR, L_EAR}
"""Eyes and ears keep their places on the head."""
_ANGLES = {
    NOSE: 0.125,
    R_SHOULDER: 0.075,
    L_SHOULDER: 0.075,
    R_HIP: 0.06,
    L_HIP: 0.06,
    R_ELBOW: 0.35,
    L_ELBOW: 0.35,
    R_WRIST: 0.45,
    L_WRIST: 0.45,
    R_KNEE: 0.25,
    L_KNEE: 0.25,
    R_ANKLE: 0.3,
    L_ANKLE: 0.3,
}
"""Standard deviation of the turn of the limb that ends at a joint, radians."""
_LENGTH = 0.06
"""Standard deviation of the logarithm of a limb's change in length."""
_CELLS = 32
"""The field of displacements is computed on so many cells a side, and made finer by interpolation."""
_EDGE = np.array([(x, y) for x in (0, 0.5, 1) for y in (0, 0.5, 1) if (x, y) != (0.5, 0.5)])


def bent(keypoints: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The pose ``[18, 3]`` with its limbs turned; joints whose limb is not all there move with what they hang on."""
    turns = rng.normal(size=KEYPOINTS)
    lengths = np.exp(_LENGTH * rng.normal(size=KEYPOINTS))
    moved = np.array(keypoints, np.float64)
    total = np.zeros(KEYPOINTS)
    for joint, parent in PARENTS.items():
        if keypoints[joint, 2] <= 0 or keypoints[parent, 2] <= 0:
            continue
        total[joint] = total[parent] + _ANGLES.get(joint, 0.0) * turns[joint]
        arm = keypoints[joint, :2] - keypoints[parent, :2]
        scale = 1.0 if joint in _HELD else lengths[joint]
        moved[joint, :2] = moved[parent, :2] + scale * rotation(total[joint]) @ arm
    return moved


def rotation(angle: float) -> np.ndarray:
    """The matrix ``[2, 2]`` that turns places by an angle, radians."""
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def warp(image: Image.Image, before: np.ndarray, after: np.ndarray) -> Image.Image:
    """The picture with what was at ``before`` ``[K, 2]`` moved to ``after`` ``[K, 2]`` (image sides)."""
    import cv2

    side = image.width
    source = cv2.resize(_sources(before, after), (side, side), interpolation=cv2.INTER_LINEAR) * side - 0.5
    x, y = (source[..., axis].astype(np.float32) for axis in (0, 1))
    return Image.fromarray(
        cv2.remap(np.asarray(image), x, y, interpolation=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    )


def _sources(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Where each cell of the new picture comes from: ``[_CELLS, _CELLS, 2]``."""
    fixed, moving = np.concatenate([after, _EDGE]), np.concatenate([before, _EDGE])
    axis = (np.arange(_CELLS) + 0.5) / _CELLS
    cells = np.stack(np.meshgrid(axis, axis, indexing="xy"), axis=-1).reshape(-1, 2)
    weights = 1 / (((cells[:, None] - fixed) ** 2).sum(axis=-1) + 1e-5) ** 1.5
    weights /= weights.sum(axis=1, keepdims=True)
    centre, target = weights @ fixed, weights @ moving
    # complex numbers: a similarity is one factor
    p = _complex(fixed) - _complex(centre)[:, None]
    q = _complex(moving) - _complex(target)[:, None]
    factor = (weights * p.conj() * q).sum(axis=1) / (weights * np.abs(p) ** 2).sum(axis=1).clip(1e-9)
    found = factor * (_complex(cells) - _complex(centre)) + _complex(target)
    return np.stack([found.real, found.imag], axis=-1).reshape(_CELLS, _CELLS, 2).astype(np.float32)


def _complex(points: np.ndarray) -> np.ndarray:
    return points[..., 0] + 1j * points[..., 1]
