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
"""Joint by joint, in OpenPose order, the one that it hangs on."""
_HELD = {14, 15, 16, 17}
"""Eyes and ears keep their places on the head."""
_ANGLES = {
    0: 0.25,
    2: 0.15,
    5: 0.15,
    8: 0.12,
    11: 0.12,
    3: 0.7,
    6: 0.7,
    4: 0.9,
    7: 0.9,
    9: 0.5,
    12: 0.5,
    10: 0.6,
    13: 0.6,
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
    for joint in sorted(PARENTS, key=_depth):
        parent = PARENTS[joint]
        if keypoints[joint, 2] <= 0 or keypoints[parent, 2] <= 0:
            continue
        total[joint] = total[parent] + _ANGLES.get(joint, 0.0) * turns[joint]
        arm = keypoints[joint, :2] - keypoints[parent, :2]
        cos, sin = np.cos(total[joint]), np.sin(total[joint])
        scale = 1.0 if joint in _HELD else lengths[joint]
        moved[joint, :2] = moved[parent, :2] + scale * np.array(
            [cos * arm[0] - sin * arm[1], sin * arm[0] + cos * arm[1]]
        )
    return moved


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


def _depth(joint: int) -> int:
    return 0 if joint not in PARENTS else 1 + _depth(PARENTS[joint])
