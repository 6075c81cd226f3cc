"""Renders of the miniature world as memory-mapped arrays, made once and kept in the work folder."""

from __future__ import annotations

import dataclasses
import logging
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.imaging.openpose18 import KEYPOINTS
from tinyworld.world.background import VARIANTS, Background
from tinyworld.world.render import Scene, render, sample_scene

logger = logging.getLogger(__name__)

EVALUATION_SEED = 10_000_000
"""Scenes from this seed on are never trained on."""
STUDIO_SEED = 5_000_000
"""From here to ``EVALUATION_SEED``, three scenes of four stand before a plain wall, every other one of these grey."""
_CHUNK = 500


def scene_of(seed: int) -> Scene:
    """The scene of a seed. All but the studio's are the world's own.

    Subjects are generated before plain walls, so that is where the ControlNet needs most of its practice.
    """
    scene = sample_scene(seed)
    if shows_scene(seed):
        return scene
    walls = VARIANTS["plain"]
    color = "grey" if seed % 2 else walls[seed // 4 % len(walls)]
    return dataclasses.replace(scene, background=Background("plain", color))


def shows_scene(seed: int) -> bool:
    """Whether a seed's background is the world's own, not the studio's wall."""
    return not STUDIO_SEED <= seed < EVALUATION_SEED or seed % 4 == 0


@dataclass(frozen=True)
class Renders:
    """Aligned arrays, one entry a scene; scene ``i`` has the seed ``first_seed + i``.

    Attributes:
        images: uint8 [N, 64, 64, 3].
        masks: bool [N, 64, 64], the figure.
        keypoints: float32 [N, 18, 3].
        backgrounds: uint8 [N, 64, 64, 3], the same scenes without the figure.
    """

    first_seed: int
    images: np.ndarray
    masks: np.ndarray
    keypoints: np.ndarray
    backgrounds: np.ndarray

    def __len__(self) -> int:
        return len(self.images)


def load_renders(work_dir: Path, count: int, first_seed: int = 0, workers: int = 2) -> Renders:
    """The renders of ``count`` scenes from ``first_seed`` on, from the work folder or made now."""
    folder = work_dir / f"renders-{first_seed}-{count}"
    if not (folder / "done").exists():
        _render_all(folder, count, first_seed, workers)
    load = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _SHAPES}
    return Renders(first_seed=first_seed, **load)


_SHAPES: dict[str, tuple[tuple[int, ...], type]] = {
    "images": ((64, 64, 3), np.uint8),
    "masks": ((64, 64), np.bool_),
    "keypoints": ((KEYPOINTS, 3), np.float32),
    "backgrounds": ((64, 64, 3), np.uint8),
}


def _render_all(folder: Path, count: int, first_seed: int, workers: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    out = {
        name: np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=dtype, shape=(count, *shape))
        for name, (shape, dtype) in _SHAPES.items()
    }
    starts = range(0, count, _CHUNK)
    with ProcessPoolExecutor(min(workers, os.cpu_count() or 1)) as pool:
        seeds = [(first_seed + start, min(_CHUNK, count - start)) for start in starts]
        for start, chunk in zip(starts, pool.map(_render_chunk, seeds), strict=True):
            for name, values in chunk.items():
                out[name][start : start + len(values)] = values
            if start % 5000 == 0:
                logger.info("rendered %d of %d scenes", start, count)
    for array in out.values():
        array.flush()
    (folder / "done").touch()


def _render_chunk(span: tuple[int, int]) -> dict[str, np.ndarray]:
    renders = [render(scene_of(seed)) for seed in range(span[0], span[0] + span[1])]
    return {
        "images": np.stack([r.image for r in renders]),
        "masks": np.stack([r.mask for r in renders]),
        "keypoints": np.stack([r.keypoints for r in renders]),
        "backgrounds": np.stack([r.background_image for r in renders]),
    }
