"""Putting a subject's own pixels back over a repainted background, with a soft seam."""

from __future__ import annotations

import numpy as np


def kept_area(mask: np.ndarray, margin: float) -> np.ndarray:
    """The mask with a margin around it: what the inpainting must leave alone.

    Args:
        mask: ``[H, W]`` bool.
        margin: How far it grows, as a share of the side.

    Returns:
        ``[H, W]`` bool.
    """
    import cv2

    reach = round(margin * mask.shape[0])
    if reach == 0:
        return mask
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return cv2.dilate(mask.astype(np.uint8), kernel).astype(bool)


def seam(kept: np.ndarray, feather: float) -> np.ndarray:
    """The weight of the subject's pixels: 0 outside, 1 well inside, rising from the edge inwards.

    Inwards, because the outermost pixels of a figure hold some of the background that it was generated before; a step
    to both sides would carry a rim of it into every variation.

    Args:
        kept: ``[H, W]`` bool.
        feather: Width of the rise (standard deviation of the blur it is made of), as a share of the side; 0: a hard
            edge.

    Returns:
        ``[H, W, 1]`` float32.
    """
    import cv2

    weight = kept.astype(np.float32)
    if feather > 0:
        blurred = cv2.GaussianBlur(weight, (0, 0), feather * kept.shape[0], borderType=cv2.BORDER_REPLICATE)
        weight *= np.clip(2 * blurred - 1, 0, 1)
    return weight[..., None]


def paste(subject: np.ndarray, background: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Subject over background.

    Args:
        subject: ``[H, W, 3]`` uint8.
        background: ``[H, W, 3]`` uint8.
        weight: ``[H, W, 1]`` of :func:`seam`.

    Returns:
        ``[H, W, 3]`` uint8.
    """
    mixed = background + weight * (subject.astype(np.float32) - background)
    return np.rint(mixed).astype(np.uint8)
