"""Connected pieces of a mask: closing small holes, dropping small islands, measuring the main piece."""

from __future__ import annotations

import numpy as np


def clean_mask(mask: np.ndarray, max_hole: float, max_island: float) -> np.ndarray:
    """The mask without small holes and islands.

    Args:
        mask: ``[H, W]`` bool.
        max_hole: Holes (enclosed background) of at most this share of the mask's area are filled.
        max_island: Pieces of at most this share of the mask's area are dropped; the largest piece always stays.

    Returns:
        ``[H, W]`` bool.
    """
    area = np.count_nonzero(mask)
    if not area:
        return mask.copy()
    labels, areas, _ = _pieces(mask)
    keep = areas > max_island * area
    keep[areas.argmax()] = True
    kept = np.concatenate([[False], keep])[labels]
    labels, areas, inner = _pieces(~kept, connectivity=4)
    fill = inner & (areas <= max_hole * area)
    return kept | np.concatenate([[False], fill])[labels]


def main_component(mask: np.ndarray) -> float:
    """The share of the mask's area that its largest piece has; 0 for an empty mask."""
    _, areas, _ = _pieces(mask)
    return float(areas.max() / areas.sum()) if areas.size else 0.0


def _pieces(mask: np.ndarray, connectivity: int = 8) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pieces: labels ``[H, W]`` (0 = outside), area of pieces 1.., whether each stays off the picture's border."""
    import cv2

    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=connectivity)
    x, y, width, height, area = stats[1:].T
    inner = (x > 0) & (y > 0) & (x + width < mask.shape[1]) & (y + height < mask.shape[0])
    return labels, area, inner
