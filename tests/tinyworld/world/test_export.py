"""Export: the files and the COCO keypoints JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.imaging.openpose18 import COCO_FROM_OPENPOSE
from pipeline.inputs.listing import list_sources
from tinyworld.world import Background, Identity, export, render_seed
from tinyworld.world.export import LICENSE_NAME, LICENSE_URL


def test_round_trip(tmp_path: Path) -> None:
    path = export(tmp_path / "out", count=3, seed=5, size=128)
    document = json.loads(path.read_text())
    assert path == tmp_path / "out" / "person_keypoints.json"
    assert len(document["images"]) == len(document["annotations"]) == 3
    assert len(document["categories"][0]["keypoints"]) == 17
    for i, (entry, note) in enumerate(zip(document["images"], document["annotations"], strict=True)):
        shot = render_seed(5 + i, 128)
        image = np.asarray(Image.open(path.parent / "images" / entry["file_name"]))
        mask = np.asarray(Image.open(path.parent / "masks" / entry["file_name"]))
        np.testing.assert_array_equal(image, shot.image)
        np.testing.assert_array_equal(mask > 0, shot.mask)
        assert set(np.unique(mask)) == {0, 255}
        assert entry["caption"] == shot.caption
        assert Identity(**entry["identity"]) == shot.identity
        assert Background(**entry["background"]) == shot.background
        points = np.array(note["keypoints"]).reshape(17, 3)
        truth = shot.keypoints[list(COCO_FROM_OPENPOSE)]
        np.testing.assert_allclose(points[:, :2] / 128, truth[:, :2], atol=1e-4)
        np.testing.assert_array_equal(points[:, 2], 2 * truth[:, 2])
        assert note["num_keypoints"] == truth[:, 2].sum()
        assert note["area"] == shot.mask.sum()
        x, y, w, h = note["bbox"]
        assert shot.mask[y : y + h, x : x + w].sum() == shot.mask.sum()


def test_a_listing_has_all_licences_and_warns_of_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    export(tmp_path, count=2, seed=0, size=64)
    rows = list_sources([str(tmp_path / "images")])
    assert len(rows) == 2
    assert {row.source_license for row in rows} == {f"{LICENSE_NAME}, {LICENSE_URL}"}
    assert not caplog.records


def test_coco_order_is_the_common_one() -> None:
    assert COCO_FROM_OPENPOSE == (0, 15, 14, 17, 16, 5, 2, 6, 3, 7, 4, 11, 8, 12, 9, 13, 10)


def test_the_world_needs_no_heavy_packages() -> None:
    code = "import sys, tinyworld.world as w; sys.exit('torch' in sys.modules or 'scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
