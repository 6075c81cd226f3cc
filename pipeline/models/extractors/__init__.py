"""Pose networks behind one call: :func:`people`. Each kind is a module with ``people(model, image)``."""

from __future__ import annotations

from importlib import import_module

import numpy as np

from pipeline.config import UserError
from pipeline.models.resolve import Model

_KINDS = {"tiny": "openpose", "openpose": "openpose", "blazepose": "blazepose"}
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
    kind = model.ref.kind
    if kind not in _KINDS:
        raise UserError(f"model {model.ref.repo}: kind {kind!r} of a pose network is none of {', '.join(_KINDS)}")
    found: list[np.ndarray] = import_module(f"{__name__}.{_KINDS[kind]}").people(model, image)
    return found
