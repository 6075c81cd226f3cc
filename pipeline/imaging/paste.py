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


def seam_step(subject: np.ndarray, background: np.ndarray, weight: np.ndarray) -> float:
    """How far the two pictures differ where one passes into the other: what an eye sees of the seam.

    A model that was told to keep the subject paints it again; where that differs from the subject's own pixels along
    the edge, pasting those leaves a step.

    Args:
        subject: ``[H, W, 3]`` uint8.
        background: ``[H, W, 3]`` uint8, as painted, before pasting.
        weight: ``[H, W, 1]`` of :func:`seam`.

    Returns:
        Mean absolute difference of the grey values (0..1) along the edge of the pasted area, inside of it; 0 where
        there is no edge.
    """
    import cv2

    there = (weight[..., 0] > 0).astype(np.uint8)
    inner = cv2.erode(there, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_REPLICATE)
    band = (there > 0) & ((inner == 0) | (weight[..., 0] < 1))
    if not band.any():
        return 0.0
    grey = np.array([0.299, 0.587, 0.114], np.float32)
    return float(np.abs((subject[band].astype(np.float32) - background[band]) @ grey).mean() / 255)
