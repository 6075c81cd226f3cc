"""COCO: pictures, and one JSON a split with keypoints and run-length encoded masks."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from pipeline.config import UserError
from pipeline.exports.croissant import Described, file_set, picture_records
from pipeline.exports.destination import CountedFile, Unit
from pipeline.exports.export import Piece
from pipeline.exports.imagefolder import ImageFolder
from pipeline.exports.rows import SplitRows, safe
from pipeline.exports.values import plain
from pipeline.imaging.openpose18 import COCO_FROM_OPENPOSE, COCO_NAMES, COCO_SKELETON
from pipeline.manifest.schema import PICTURES

_VISIBLE = 2
CATEGORY = {
    "id": 1, "name": "person", "supercategory": "person",
    "keypoints": list(COCO_NAMES), "skeleton": [list(limb) for limb in COCO_SKELETON],
}  # fmt: skip


class Coco(ImageFolder):
    """``images/train/00000/<variation_id>.png`` and ``annotations/person_keypoints_train.json``."""

    root = "images/"

    def __init__(self, rows: SplitRows) -> None:
        super().__init__(rows)
        try:
            import pycocotools.mask  # noqa: F401
        except ImportError as error:
            raise UserError(
                "--to coco: needs pycocotools; install the extra: pip install 'spotdiff10k[export]'"
            ) from error

    @property
    def sentence(self) -> str:
        return "COCO: `images/`, and `annotations/` with keypoints and run-length encoded masks."

    def described(self, files: Sequence[str]) -> Described:
        sets = [file_set("pictures", [f"{self.root}{split}/*/*.png" for split in self.rows.counts], "image/png")]
        return Described(sets, [picture_records("pictures")])

    @property
    def configs(self) -> list[dict[str, object]]:
        files = [{"split": split, "path": f"images/{split}/**"} for split in self.rows.counts]
        return [{"config_name": "default", "data_files": files}]

    def pieces(self) -> Iterable[Piece]:
        yield from self.picture_pieces()
        for split, rows in self.rows.counts.items():
            path = f"annotations/person_keypoints_{split}.json"
            yield Piece(path, rows, partial(self._write_annotations, path, split))

    def _write_annotations(self, path: str, split: str, unit: Unit) -> None:
        licenses = self._licenses(split)
        info = {
            "description": f"SpotDiff10k manifest {self.rows.manifest.digest}, split {split}",
            "version": str(self.rows.manifest.footer.get("code_version", "")),
            "date_created": str(self.rows.manifest.footer.get("created", "")),
        }
        named = [{"id": number, "name": name, "url": ""} for name, number in licenses.items()]
        with unit.open(path) as file:
            file.write(b'{"info":' + _json(info) + b',"licenses":' + _json(named))
            file.write(b',"categories":' + _json([CATEGORY]) + b',"images":[')
            _write_all(file, self._images(split, licenses))
            file.write(b'],"annotations":[')
            _write_all(file, self._annotations(split))
            file.write(b"]}\n")

    def _licenses(self, split: str) -> dict[str, int]:
        found: dict[str, int] = {}
        for batch in self.rows.all(split, ["source_license"]):
            for name in batch.column(0).unique().to_pylist():
                found.setdefault(name or "not stated", len(found) + 1)
        return found

    def _images(self, split: str, licenses: dict[str, int]) -> Iterator[dict[str, Any]]:
        said = [name for name in self.light if name not in ("keypoints", "width", "height")]
        for number, (place, row) in enumerate(self.placed(split, self.light), 1):
            yield {
                "id": number,
                "file_name": f"{split}/{place}.png",
                "width": row["width"],
                "height": row["height"],
                "license": licenses[row["source_license"] or "not stated"],
                **{name: plain(row[name]) for name in said},
            }

    def _annotations(self, split: str) -> Iterator[dict[str, Any]]:
        columns = ["variation_id", "mask", "keypoints", "width", "height"]
        for number, (_, row) in enumerate(self.placed(split, columns), 1):
            keypoints = coco_keypoints(np.asarray(row["keypoints"]), row["width"], row["height"])
            yield {
                "id": number,
                "image_id": number,
                "category_id": CATEGORY["id"],
                "iscrowd": 0,
                **outline(row["mask"]["bytes"]),
                "keypoints": keypoints,
                "num_keypoints": sum(flag > 0 for flag in keypoints[2::3]),
            }

    def _write_folder(self, folder: str, split: str, first: int, stop: int, unit: Unit) -> None:
        """The pictures alone: masks are in the JSON."""
        for batch in self.rows.read(split, first, stop, ["variation_id", PICTURES[0]]):
            for row in batch.to_pylist():
                name = safe(row["variation_id"], "variation_id")
                unit.put(f"{folder}/{name}.png", row[PICTURES[0]]["bytes"])


def outline(png: bytes) -> dict[str, Any]:
    """A mask as COCO's ``segmentation`` (compressed run lengths), ``area`` and ``bbox``, pixels."""
    from pycocotools import mask as coco_mask

    inside = np.asarray(Image.open(io.BytesIO(png)).convert("L")) > 127
    runs = coco_mask.encode(np.asfortranarray(inside.astype(np.uint8)))
    area, box = float(coco_mask.area(runs)), [float(value) for value in coco_mask.toBbox(runs)]
    return {"segmentation": {"size": runs["size"], "counts": runs["counts"].decode()}, "area": area, "bbox": box}


def coco_keypoints(points: np.ndarray, width: int, height: int) -> list[float]:
    """Our keypoints ``[18, 3]`` as COCO's 17 x (x, y in pixels, 2 or 0), flat."""
    ours = points[list(COCO_FROM_OPENPOSE)]
    there = ours[:, 2] > 0
    placed = np.column_stack([ours[:, 0] * width, ours[:, 1] * height, np.full(len(ours), _VISIBLE)])
    return [round(float(value), 3) for value in np.where(there[:, None], placed, 0).ravel()]


def _write_all(file: CountedFile, rows: Iterable[dict[str, Any]]) -> None:
    for number, row in enumerate(rows):
        file.write((b",\n" if number else b"\n") + _json(row))


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
