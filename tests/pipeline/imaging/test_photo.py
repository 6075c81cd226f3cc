"""Photographs are told from renders of the world, at whatever size these were exported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.imaging.frame import square
from pipeline.imaging.photo import looks_like_photo
from tinyworld.world.export import export


def squared(path: Path) -> np.ndarray:
    return np.asarray(square(Image.open(path).convert("RGB"), 64)[0])


@pytest.mark.parametrize("size", [64, 256])
def test_no_render_passes_for_a_photo(tmp_path: Path, size: int) -> None:
    export(tmp_path, count=40, seed=930_000, size=size)
    assert not any(looks_like_photo(squared(path)) for path in (tmp_path / "images").glob("*.png"))


def test_most_photos_are_told(photos: Path) -> None:
    told = [looks_like_photo(squared(path)) for path in sorted((photos / "images").glob("*.jpg"))]
    assert np.mean(told) > 0.7


def test_a_noisy_picture_and_a_grey_one_are_photos_and_a_flat_one_is_none() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    assert looks_like_photo(noise)
    assert looks_like_photo(np.repeat(noise[..., :1] // 16, 3, axis=2))
    assert not looks_like_photo(np.full((64, 64, 3), 128, np.uint8))
