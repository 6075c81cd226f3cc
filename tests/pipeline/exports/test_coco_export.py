"""COCO, read by pycocotools."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools.coco import COCO

from pipeline.exports.coco import coco_keypoints
from pipeline.exports.export import export
from pipeline.imaging.openpose18 import COCO_NAMES, NAMES
from pipeline.manifest.read import Manifest

Rows = dict[str, dict[str, Any]]


def test_pycocotools_reads_pictures_masks_and_keypoints(
    toys: Manifest, rows: Rows, counts: dict[str, int], tmp_path: Path
) -> None:
    export(toys.path, "coco", str(tmp_path / "out"))
    for split, count in counts.items():
        coco = COCO(str(tmp_path / "out" / "annotations" / f"person_keypoints_{split}.json"))
        assert len(coco.getImgIds()) == len(coco.getAnnIds(catIds=coco.getCatIds(["person"]))) == count
        for image in coco.loadImgs(coco.getImgIds()):
            ours = rows[image["variation_id"]]
            assert (tmp_path / "out" / "images" / image["file_name"]).read_bytes() == ours["image"]["bytes"]
            assert (image["width"], image["height"], ours["split"]) == (ours["width"], ours["height"], split)
            (annotation,) = coco.loadAnns(coco.getAnnIds(imgIds=image["id"]))
            mask = np.asarray(Image.open(io.BytesIO(ours["mask"]["bytes"]))) > 127
            assert np.array_equal(coco.annToMask(annotation).astype(bool), mask)
            assert annotation["area"] == mask.sum()
            x, y, width, height = annotation["bbox"]
            assert mask[int(y) : int(y + height), int(x) : int(x + width)].sum() == mask.sum()
            points = np.asarray(annotation["keypoints"]).reshape(17, 3)
            nose, theirs = np.asarray(ours["keypoints"])[NAMES.index("nose")], points[COCO_NAMES.index("nose")]
            assert np.allclose(theirs[:2], nose[:2] * ours["width"], atol=1e-3)
            name = {one["id"]: one["name"] for one in coco.dataset["licenses"]}[image["license"]]
            assert name == (ours["source_license"] or "not stated")


def test_a_missing_keypoint_is_marked_so() -> None:
    points = np.ones((18, 3)) * 0.5
    points[NAMES.index("left_ear")] = 0
    flat = np.asarray(coco_keypoints(points, 100, 200)).reshape(17, 3)
    assert flat[COCO_NAMES.index("left_ear")].tolist() == [0, 0, 0]
    assert flat[COCO_NAMES.index("right_ear")].tolist() == [50, 100, 2]
