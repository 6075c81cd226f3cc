"""Makes ``examples/sources``: eight renders of the miniature world and scikit-image's public-domain astronaut.

::

    python examples/make_sources.py

The renders' seeds are such that all three splits occur under run seed 0. The astronaut's keypoints were set by hand.
"""

from __future__ import annotations

import csv
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from skimage import data

from tinyworld.world.export import COLUMNS, export

FIRST_SEED, COUNT, SIDE = 20_000_204, 8, 256
ASTRONAUT = "astronaut.png"
_ASTRONAUT_POINTS = {
    "nose": (224, 118, 2), "left_eye": (246, 103, 2), "right_eye": (202, 101, 2), "left_ear": (272, 118, 1),
    "right_ear": (176, 118, 1), "left_shoulder": (330, 285, 2), "right_shoulder": (92, 280, 2),
    "left_elbow": (352, 430, 1), "right_elbow": (42, 440, 2), "right_wrist": (140, 492, 2),
}  # fmt: skip
"""COCO name to (x, y, v) in pixels; the rest lies outside the picture."""
_ASTRONAUT_RIGHTS = {
    "file": ASTRONAUT,
    "licence_name": "Public domain (NASA)",
    "licence_url": "https://www.nasa.gov/nasa-brand-center/images-and-media/",
    "source_url": "https://scikit-image.org/docs/stable/api/skimage.data.html#skimage.data.astronaut",
    "changes": "none",
}


def main(out: Path = Path(__file__).parent / "sources") -> None:
    """Writes the pictures, ``poses.json`` and ``LICENSES.csv``."""
    out.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        poses = json.loads(export(scratch, COUNT, FIRST_SEED, SIDE).read_text("utf-8"))
        for image in poses["images"]:
            shutil.copy(Path(scratch) / "images" / image["file_name"], out)
    Image.fromarray(data.astronaut()).save(out / ASTRONAUT, optimize=True)
    poses["images"].append({"id": COUNT + 1, "file_name": ASTRONAUT, "width": 512, "height": 512})
    poses["annotations"].append(_astronaut(poses["categories"][0]["keypoints"]))
    (out / "poses.json").write_text(json.dumps(poses, indent=1) + "\n", encoding="utf-8")
    rights = [
        dict(zip(COLUMNS, (i["file_name"], "CC0-1.0", poses["licenses"][0]["url"], "", "none"), strict=True))
        for i in poses["images"][:COUNT]
    ]
    with (out / "LICENSES.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows([*rights, _ASTRONAUT_RIGHTS])


def _astronaut(names: list[str]) -> dict[str, Any]:
    points = [_ASTRONAUT_POINTS.get(name, (0, 0, 0)) for name in names]
    return {
        "id": COUNT + 1,
        "image_id": COUNT + 1,
        "category_id": 1,
        "iscrowd": 0,
        "keypoints": [value for point in points for value in point],
        "num_keypoints": sum(point[2] > 0 for point in points),
        "bbox": [22, 14, 345, 498],
        "area": 345 * 498,
    }


if __name__ == "__main__":
    main()
