"""Pictures of two people, drawn in one scene, kept beside the renders in the work folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tinyworld.world import Pose, draw_figure, sample_scene

SIZE = 64
_FACTOR = 4
MIN_VISIBLE = 6


@dataclass(frozen=True)
class TwoPeople:
    """Aligned arrays, one entry a picture.

    Attributes:
        images: uint8 [N, 64, 64, 3].
        masks: bool [N, 2, 64, 64], what is to be seen of each figure; the second stands before the first.
        keypoints: float32 [N, 2, 18, 3]; the third value is 1 visible, 0 missing, -1 hidden by the other figure.
    """

    images: np.ndarray
    masks: np.ndarray
    keypoints: np.ndarray

    def __len__(self) -> int:
        return len(self.images)


def draw_pair(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One picture of two people: image, masks, keypoints as in :class:`TwoPeople`. A seed always gives the same."""
    rng = np.random.default_rng([seed, 2])
    side = SIZE * _FACTOR
    while True:
        first, second = (sample_scene(int(rng.integers(1 << 40))) for _ in range(2))
        canvas = first.background.draw(rng, side)
        lefts = rng.permutation([0.27, 0.73]) + rng.normal(0, 0.06, 2)
        masks, keypoints = [], []
        for scene, x in zip((first, second), lefts, strict=True):
            pose = _placed(scene.pose, float(x), rng)
            mask = Image.new("L", (side, side))
            draw_figure(canvas, mask, pose.skeleton, scene.identity, rng)
            masks.append(np.asarray(mask.reduce(_FACTOR)) >= 128)
            keypoints.append(pose.keypoints.copy())
        hidden = _covered(keypoints[0], masks[1])
        keypoints[0][hidden, 2] = -1
        masks[0] = masks[0] & ~masks[1]
        if all((points[:, 2] > 0).sum() >= MIN_VISIBLE for points in keypoints):
            return np.asarray(canvas.reduce(_FACTOR)), np.stack(masks), np.stack(keypoints)


def _placed(pose: Pose, x: float, rng: np.random.Generator) -> Pose:
    """The whole figure, scaled to its share of the picture and moved so that its middle stands at ``x``."""
    low, high = pose.full.min(axis=0), pose.full.max(axis=0)
    wide, tall = high - low
    scale = min(rng.uniform(0.35, 0.9) / tall, rng.uniform(0.35, 0.55) / wide)
    y = rng.uniform(0.12, max(0.13, 1.03 - tall * scale))
    moved = (pose.full - [(low[0] + high[0]) / 2, low[1]]) * scale + [x, y]
    return Pose.from_full(moved, pose.present)


def _covered(keypoints: np.ndarray, mask: np.ndarray) -> np.ndarray:
    columns, rows = (keypoints[:, :2] * SIZE).astype(int).clip(0, SIZE - 1).T
    return (keypoints[:, 2] > 0) & mask[rows, columns]


def load_pairs(work_dir: Path, count: int, first_seed: int = 0) -> TwoPeople:
    """``count`` pictures from ``first_seed`` on, from the work folder or made now (about 5 ms each)."""
    path = work_dir / f"pairs-{first_seed}-{count}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        drawn = [draw_pair(seed) for seed in range(first_seed, first_seed + count)]
        images, masks, keypoints = (np.stack(part) for part in zip(*drawn, strict=True))
        temporary = path.with_suffix(".tmp.npz")
        np.savez(temporary, images=images, masks=masks, keypoints=keypoints)
        temporary.replace(path)
    with np.load(path) as stored:
        return TwoPeople(stored["images"], stored["masks"], stored["keypoints"])
