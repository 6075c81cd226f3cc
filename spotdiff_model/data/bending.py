"""Bends the figure of a picture at its joints, so that a few dozen poses become as many as there are pictures.

The keypoints move first, limb by limb; the picture follows by moving least squares (Schaefer et al. 2006, similarity
transforms), with the picture's edge held where it is.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

PARENTS = {
    0: 1,
    2: 1,
    3: 2,
    4: 3,
    5: 1,
    6: 5,
    7: 6,
    8: 1,
    9: 8,
    10: 9,
    11: 1,
    12: 11,
    13: 12,
    14: 0,
    15: 0,
    16: 14,
    17: 15,
}
"""By joint, in OpenPose order, the one that it hangs on; that one comes before it."""
_HELD = {14, 15, 16, 17}
"""Eyes and ears keep their places on the head."""
_ANGLES = {
    0: 0.125,
    2: 0.075,
    5: 0.075,
    8: 0.06,
    11: 0.06,
    3: 0.35,
    6: 0.35,
    4: 0.45,
    7: 0.45,
    9: 0.25,
    12: 0.25,
    10: 0.3,
    13: 0.3,
}
"""Standard deviation of the turn of the limb that ends at a joint, radians."""
_LENGTH = 0.06
"""Standard deviation of the logarithm of a limb's change in length."""
_CELLS = 32
"""The field of displacements is computed on so many cells a side, and made finer by interpolation."""
_EDGE = np.array([(x, y) for x in (0, 0.5, 1) for y in (0, 0.5, 1) if (x, y) != (0.5, 0.5)])


def bent(keypoints: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The pose ``[18, 3]`` with its limbs turned; joints whose limb is not all there move with what they hang on."""
    turns = rng.normal(size=18)
    lengths = np.exp(_LENGTH * rng.normal(size=18))
    moved = np.array(keypoints, np.float64)
    total = np.zeros(18)
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
