"""Tells photographs from the miniature world's renders by their colours."""

from __future__ import annotations

import numpy as np
from PIL import Image

_SIDE = 64
_MAX_DISTINCT = 0.6
"""Of 1,200 renders none had more than .54; of seven photographs the five in bright colours have .62 to .93."""


def looks_like_photo(image: np.ndarray) -> bool:
    """Whether a picture is a photograph rather than a render.

    Renders are flat areas, so their colours recur; they are never grey throughout. A dark or hazy photograph may pass
    for a render.

    Args:
        image: ``[H, W, 3]`` uint8 RGB, square.
    """
    if len(image) > _SIDE:
        image = np.asarray(Image.fromarray(image).resize((_SIDE, _SIDE), Image.Resampling.BOX))
    pixels = image.reshape(-1, 3)
    grey = bool((np.ptp(pixels, axis=1) == 0).all()) and int(np.ptp(pixels)) > 0
    return grey or len(np.unique(pixels, axis=0)) > _MAX_DISTINCT * len(pixels)
