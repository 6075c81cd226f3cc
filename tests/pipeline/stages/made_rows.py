"""Rows with known truth for the stages' tests, made from the miniature world's renders."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from pipeline.imaging.png import to_png
from pipeline.imaging.skeleton import draw_pose
from pipeline.records import Posed, Subject, Variation
from tinyworld.world.render import Render, render_seed


def pixels(png: bytes | None) -> np.ndarray:
    assert png is not None
    return np.asarray(Image.open(io.BytesIO(png))).astype(int)


def png(array: np.ndarray) -> bytes:
    return to_png(Image.fromarray(array.astype(np.uint8) * 255 if array.dtype == bool else array))


def posed(seed: int = 0, **changes: Any) -> Posed:
    """The render of ``seed`` as a source with its pose."""
    shot = render_seed(seed)
    row = {
        "source_id": f"{seed:016x}",
        "path": f"{seed}.png",
        "source_image": png(shot.image),
        "frame": [0.0, 0.0, 64.0],
        "source_width": 64,
        "source_height": 64,
        "pose_id": f"{seed:016x}",
        "split": "train",
        "keypoints": shot.keypoints.tolist(),
        "control": to_png(draw_pose(shot.keypoints, 64, 0.03)),
    }
    return Posed(**{**row, **changes})


def subject(seed: int = 0, **changes: Any) -> Subject:
    """The render of ``seed`` as if it had been generated, with its true mask."""
    shot = render_seed(seed)
    row = {
        "source_image": None,
        "subject_id": f"subject-{seed:03d}",
        "subject_prompt": shot.identity.prompt(),
        "subject_image": png(shot.image),
        "mask": png(shot.mask),
        "mask_score": 0.9,
        "mask_area": float(shot.mask.mean()),
    }
    return posed(seed).grow(Subject, **{**row, **changes})


def variation(seed: int = 0, **changes: Any) -> Variation:
    """The render of ``seed``; its image is the subject's."""
    shot = render_seed(seed)
    row = {
        "background_id": f"background-{seed:03d}",
        "background_prompt": shot.background.prompt(),
        "image": png(shot.image),
    }
    return subject(seed).grow(Variation, **{**row, **changes})


def whole_body(first: int = 0, count: int = 1) -> list[int]:
    """Seeds of renders that show all joints."""
    found = []
    seed = first
    while len(found) < count:
        if _joints(render_seed(seed)) == 18:
            found.append(seed)
        seed += 1
    return found


def _joints(shot: Render) -> int:
    return int((shot.keypoints[:, 2] > 0).sum())


def pair() -> tuple[bytes, list[np.ndarray], list[np.ndarray]]:
    """Two narrow figures side by side: the picture, each one's keypoints and mask."""
    image, poses, masks = None, [], []
    for middle in (16, 48):
        seed = next(s for s in range(500 + middle, 2000) if _narrow(render_seed(s)))
        shot = render_seed(seed)
        image = shot.background_image.copy() if image is None else image
        shift = middle - round(float(np.flatnonzero(shot.mask.any(axis=0)).mean()))
        mask = np.roll(shot.mask, shift, axis=1)
        image[mask] = np.roll(shot.image, shift, axis=1)[mask]
        poses.append(np.where(shot.keypoints[:, 2:] > 0, shot.keypoints + np.array([shift / 64, 0, 0]), 0))
        masks.append(mask)
    assert image is not None
    return png(image), poses, masks


def _narrow(shot: Render) -> bool:
    columns = np.flatnonzero(shot.mask.any(axis=0))
    return _joints(shot) >= 16 and np.ptp(columns) < 26 and shot.mask.any(axis=1).sum() > 40
