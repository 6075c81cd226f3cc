"""A mask's outline as an SVG path: sharp at any size, a few hundred bytes."""

from __future__ import annotations

import numpy as np

from pipeline.imaging.png import from_png

UNITS = 1000
"""The path's coordinates run from 0 to this over the picture's side."""
_FINE = 512


def outline(mask: bytes) -> str:
    """The outline of a mask (PNG, 255 = subject), holes included; empty where the mask is.

    Args:
        mask: As in the manifest.

    Returns:
        The ``d`` of an SVG ``path`` in a view box of ``0 0 1000 1000``.
    """
    import cv2

    pixels = (np.asarray(from_png(mask).convert("L")) > 127).astype(np.uint8)
    fine = cv2.resize(
        pixels, (_FINE, _FINE), interpolation=cv2.INTER_NEAREST
    )  # else outlines run through pixels' centres
    contours, _ = cv2.findContours(fine, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    path = []
    for contour in contours:
        points = cv2.approxPolyDP(contour, _FINE / 340, True)[:, 0].astype(float) * UNITS / (_FINE - 1)
        if len(points) > 2:
            path.append("M" + "L".join(f"{x:.0f} {y:.0f}" for x, y in points) + "Z")
    return "".join(path)
