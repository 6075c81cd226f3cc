"""Makes clean renders look like what the networks will judge: decoded diffusion samples and small photographs."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from pipeline.imaging.openpose18 import MIRRORED


def generator_of(generator: torch.Generator) -> np.random.Generator:
    """A numpy generator that continues a torch generator's stream."""
    return np.random.default_rng(int(torch.randint(1 << 62, (1,), generator=generator)))


def mirror(image: np.ndarray, keypoints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A picture [S, S, 3] and its people [P, 18, 3] as a mirror shows them; missing joints stay all zero."""
    turned = keypoints[:, list(MIRRORED)].copy()
    turned[..., 0] = np.where(turned[..., 2] != 0, 1 - turned[..., 0], turned[..., 0])
    return image[:, ::-1], turned


def degrade(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blur, noise, JPEG and shifts of colour, each in a random share of the pictures.

    Args:
        images: uint8 [N, S, S, 3].

    Returns:
        uint8, the same shape.
    """
    return np.stack([_degrade(image, rng) for image in images])


def _degrade(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    side = image.shape[0]
    pixels = image.astype(np.float32)
    if rng.random() < 0.5:  # colour: gain and shift of each channel, contrast of all
        gain = rng.uniform(0.75, 1.25) * rng.uniform(0.9, 1.1, 3)
        pixels = (pixels - 127.5) * gain.astype(np.float32) + 127.5 + rng.uniform(-20, 20, 3).astype(np.float32)
    if rng.random() < 0.4:
        pixels = cv2.GaussianBlur(pixels, (0, 0), float(rng.uniform(0.3, 0.9)))
    if rng.random() < 0.3:
        pixels = pixels + rng.normal(0, rng.uniform(1, 10), pixels.shape).astype(np.float32)
    if rng.random() < 0.25:  # the errors of a decoder that works on cells of 4 x 4 pixels
        coarse = rng.normal(0, rng.uniform(2, 12), (side // 4, side // 4, 3)).astype(np.float32)
        pixels = pixels + cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    pixels = pixels.clip(0, 255).astype(np.uint8)
    if rng.random() < 0.15:
        quality = int(rng.integers(35, 95))
        packed = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        return np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR))
    return pixels
