"""Renders as files: pictures, masks and a COCO keypoints JSON with known truth."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.imaging.openpose18 import COCO_FROM_OPENPOSE, COCO_NAMES, COCO_SKELETON

from .render import Render, render_seed

LICENSE_NAME = "CC0-1.0"
LICENSE_URL = "https://creativecommons.org/publicdomain/zero/1.0/"
COLUMNS = ("file", "licence_name", "licence_url", "source_url", "changes")


def coco_keypoints(keypoints: NDArray[np.floating], size: int) -> list[float]:
    """OpenPose [18, 3] in image sides to COCO's 17 x (x, y, v) in pixels; v is 2 or 0."""
    flat: list[float] = []
    for joint in COCO_FROM_OPENPOSE:
        x, y, seen = (float(v) for v in keypoints[joint])
        flat += [round(x * size, 2), round(y * size, 2), 2] if seen > 0 else [0, 0, 0]
    return flat


def _annotation(number: int, shot: Render, size: int) -> dict[str, Any]:
    points = coco_keypoints(shot.keypoints, size)
    ys, xs = np.nonzero(shot.mask)
    x, y = int(xs.min()), int(ys.min())
    return {
        "id": number,
        "image_id": number,
        "category_id": 1,
        "iscrowd": 0,
        "keypoints": points,
        "num_keypoints": sum(v > 0 for v in points[2::3]),
        "bbox": [x, y, int(xs.max()) - x + 1, int(ys.max()) - y + 1],
        "area": float(shot.mask.sum()),
    }


def export(out_dir: str | Path, count: int, seed: int = 0, size: int = 256) -> Path:
    """Render scenes into a folder.

    Writes ``images/*.png``, ``masks/*.png`` (0 or 255), ``person_keypoints.json`` and
    ``LICENSES.csv``, which names the images alone: of the masks a build would say that they are no sources.

    Args:
        out_dir: Folder to write to; made if missing.
        count: Number of scenes; scene ``i`` has the seed ``seed + i``.
        seed: First seed.
        size: Side of the pictures in pixels.

    Returns:
        Path of the JSON file.
    """
    out = Path(out_dir)
    for folder in ("images", "masks"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    rows: list[dict[str, str]] = []
    for number in range(1, count + 1):
        scene_seed = seed + number - 1
        shot = render_seed(scene_seed, size)
        name = f"world-{scene_seed:06d}.png"
        Image.fromarray(shot.image).save(out / "images" / name)
        Image.fromarray(shot.mask.astype(np.uint8) * 255).save(out / "masks" / name)
        images.append(
            {
                "id": number,
                "file_name": name,
                "width": size,
                "height": size,
                "license": 1,
                "seed": scene_seed,
                "caption": shot.caption,
                "identity": shot.identity.attributes(),
                "background": shot.background.attributes(),
            }
        )
        annotations.append(_annotation(number, shot, size))
        rows.append(dict(zip(COLUMNS, (f"images/{name}", LICENSE_NAME, LICENSE_URL, "", "none"), strict=True)))
    category = {"id": 1, "name": "person", "supercategory": "person"}
    document = {
        "info": {
            "description": "Renders of the miniature world",
            "version": "1",
            "first_seed": seed,
        },
        "licenses": [{"id": 1, "name": LICENSE_NAME, "url": LICENSE_URL}],
        "images": images,
        "annotations": annotations,
        "categories": [{**category, "keypoints": list(COCO_NAMES), "skeleton": COCO_SKELETON}],
    }
    path = out / "person_keypoints.json"
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    with (out / "LICENSES.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path
