"""Pose networks behind two calls: :func:`people` and, for many pictures, :func:`people_in`.

Each kind is a module with ``people(model, image)``; one that takes many pictures at once has ``batch(model, images)``
besides.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np

from pipeline.config import UserError
from pipeline.models.memory import in_fitting_batches
from pipeline.models.resolve import Model

_KINDS = {"tiny": "openpose", "openpose": "openpose", "blazepose": "blazepose", "vitpose": "vitpose"}
"""By the ``kind`` of a profile's model, the module that runs it."""


def people(model: Model, image: np.ndarray) -> list[np.ndarray]:
    """Everybody in a picture.

    Args:
        model: The pose network; its ``kind`` says how it is run.
        image: ``[H, W, 3]`` uint8 RGB.

    Returns:
        Poses ``[18, 3]``: x, y in 0..1, confidence in 0..1; missing keypoints are (0, 0, 0).

    Raises:
        UserError: The kind is unknown, or the network's files or its package are missing.
    """
    return people_in(model, [image])[0]


def people_in(model: Model, images: Sequence[np.ndarray]) -> list[list[np.ndarray]]:
    """Everybody in each picture, see :func:`people`; all of one size, ``model.ref.batch_size`` at once."""
    kind = model.ref.kind
    if kind not in _KINDS:
        raise UserError(f"model {model.ref.repo}: kind {kind!r} of a pose network is none of {', '.join(_KINDS)}")
    module: Any = import_module(f"{__name__}.{_KINDS[kind]}")

    def work(part: Sequence[np.ndarray]) -> list[list[np.ndarray]]:
        many = getattr(module, "batch", None)
        return many(model, part) if many and len(part) > 1 else [module.people(model, image) for image in part]

    done = in_fitting_batches(f"pose network {model.ref.repo}", images, model.ref.batch_size, work)
    return [found for _, part in done for found in part]


def confident(poses: Sequence[np.ndarray], min_keypoints: int, min_confidence: float) -> list[np.ndarray]:
    """The poses that are people: pose networks see ghosts, of few keypoints or little confidence.

    Args:
        poses: ``[18, 3]`` each.
        min_keypoints: That must be there.
        min_confidence: Their mean confidence must be at least this.
    """
    found = []
    for pose in poses:
        there = pose[pose[:, 2] > 0, 2]
        if len(there) >= min_keypoints and (there.mean() if len(there) else 0.0) >= min_confidence:
            found.append(pose)
    return found
