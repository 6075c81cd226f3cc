"""Pose files: found by path or name, scaled to the picture, refused when they are of another layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config import UserError
from pipeline.imaging.keypoints import openpose_from_coco
from pipeline.inputs.matching import match
from pipeline.inputs.pose_file import read_pose_file


def coco_points(visibility: int = 2) -> np.ndarray:
    """Every joint at a place of its own: x = 10 * number, y = 5 * number."""
    return np.array([(10.0 * n, 5.0 * n, visibility) for n in range(17)])


def write(path: Path, **changes: Any) -> str:
    data = {
        "images": [
            {"id": 1, "file_name": "a.jpg", "width": 100, "height": 200},
            {"id": 2, "file_name": "sub/a.jpg"},
            {"id": 3, "file_name": "empty.jpg", "width": 10, "height": 10},
        ],
        "annotations": [
            {"image_id": 1, "keypoints": coco_points().ravel().tolist()},
            {"image_id": 1, "iscrowd": 1, "keypoints": coco_points().ravel().tolist()},
            {"image_id": 2, "keypoints": (coco_points() * (2, 2, 1)).ravel().tolist()},
        ],
    } | changes
    path.write_text(json.dumps(data), "utf-8")
    return str(path)


def test_a_pose_file_is_found_by_path_then_by_name(tmp_path: Path) -> None:
    poses = read_pose_file(write(tmp_path / "poses.json"))
    paths = ["elsewhere/a.jpg", "sub/a.jpg", "empty.jpg", "unknown.jpg"]
    entry_of = match(poses, [(path, f"/photos/{path}") for path in paths])
    (bare,) = poses.poses(entry_of["elsewhere/a.jpg"], 100, 200)
    assert bare.tolist() == openpose_from_coco(coco_points()).tolist()
    (exact,) = poses.poses(entry_of["sub/a.jpg"], 100, 200)
    assert exact.tolist() == openpose_from_coco(coco_points() * (2, 2, 1)).tolist()
    assert poses.poses("empty.jpg", 10, 10) == poses.poses("unknown.jpg", 10, 10) == []
    assert entry_of["empty.jpg"] == "empty.jpg"
    assert "unknown.jpg" not in entry_of


def test_a_resized_picture_takes_its_poses_along(tmp_path: Path) -> None:
    (pose,) = read_pose_file(write(tmp_path / "poses.json")).poses("a.jpg", 200, 300)
    assert pose.tolist() == (openpose_from_coco(coco_points()) * (2, 1.5, 1)).tolist()


@pytest.mark.parametrize(
    "changes",
    [
        {"annotations": [{"image_id": 1, "keypoints": [1, 2, 3]}]},
        {"annotations": [{"image_id": 77, "keypoints": [0] * 51}]},
        {"annotations": None},
        {"images": [{"id": 1}]},
    ],
)
def test_a_file_of_another_layout_is_the_user_s_mistake(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="not a COCO-keypoints JSON"):
        read_pose_file(write(tmp_path / "poses.json", **changes))


def test_a_missing_file_and_a_broken_one_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.json: No such file"):
        read_pose_file(str(tmp_path / "nowhere.json"))
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(UserError, match=r"broken\.json"):
        read_pose_file(str(tmp_path / "broken.json"))


def test_the_photographs_poses_lie_on_their_people(photos: Path) -> None:
    from PIL import Image

    poses = read_pose_file(str(photos / "person_keypoints.json"))
    inside = []
    for path in sorted((photos / "images").glob("*.jpg")):
        mask = np.asarray(Image.open(photos / "masks" / f"{path.stem}.png")) > 0
        (pose,) = poses.poses(path.name, mask.shape[1], mask.shape[0])
        x, y = pose[pose[:, 2] > 0, :2].astype(int).T
        inside += mask[y.clip(0, mask.shape[0] - 1), x.clip(0, mask.shape[1] - 1)].tolist()
    assert np.mean(inside) > 0.8
