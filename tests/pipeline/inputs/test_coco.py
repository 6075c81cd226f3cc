"""Pose files as tools write them: what is odd is left out and counted, the rest is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config import UserError
from pipeline.imaging.keypoints import openpose_from_coco
from pipeline.imaging.openpose18 import COCO_NAMES, L_SHOULDER, NECK, NOSE
from pipeline.inputs.pose_file import PoseFile, read_pose_file

POINTS = np.array([(10.0 + 3 * n, 20.0 + 5 * (n % 7), 2) for n in range(17)])
PLAIN = POINTS.ravel().tolist()
EXPECTED = openpose_from_coco(POINTS)
ANIMAL = """L_Eye R_Eye Nose Neck Tail L_Shoulder L_Elbow L_F_Paw R_Shoulder R_Elbow R_F_Paw L_Hip L_Knee L_B_Paw R_Hip
R_Knee R_B_Paw"""


def read(folder: Path, encoding: str = "utf-8", **changes: Any) -> PoseFile:
    data = {
        "images": [{"id": 1, "file_name": "a.png", "width": 100, "height": 100}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "keypoints": PLAIN}],
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO_NAMES)}],
    } | changes
    (folder / "poses.json").write_text(json.dumps(data), encoding)
    return read_pose_file(str(folder / "poses.json"))


def people(file: PoseFile, name: str = "a.png") -> list[list[list[float]]]:
    return [pose.tolist() for pose in file.poses(name, 100, 100)]


def annotations(*more: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"id": 1, "image_id": 1, "category_id": 1, "keypoints": PLAIN}, *more]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks(tmp_path: Path, encoding: str) -> None:
    assert people(read(tmp_path, encoding)) == [EXPECTED.tolist()]


@pytest.mark.parametrize(("image", "annotation"), [("1", 1), (1, "1"), (1.0, 1), ("abc", "abc")])
def test_ids_as_text_or_number(tmp_path: Path, image: Any, annotation: Any) -> None:
    file = read(
        tmp_path,
        images=[{"id": image, "file_name": "a.png"}],
        annotations=[{"image_id": annotation, "category_id": "1", "keypoints": PLAIN}],
    )
    assert people(file) == [EXPECTED.tolist()]


@pytest.mark.parametrize(
    ("odd", "told"),
    [
        ({"image_id": 99, "category_id": 1, "keypoints": PLAIN}, "annotation of an unknown image"),
        ({"image_id": 1, "category_id": 2, "keypoints": PLAIN}, "annotation of another category"),
        ({"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}, "annotation without keypoints"),
        ({"image_id": 1, "category_id": 1, "keypoints": []}, "annotation without keypoints"),
        ({"image_id": 1, "category_id": 1, "keypoints": None}, "annotation without keypoints"),
        ({"image_id": 1, "category_id": 1, "iscrowd": 1, "keypoints": PLAIN}, "crowd"),
        ("no object", "odd entry of annotations"),
    ],
)
def test_an_odd_annotation_spoils_nothing(
    tmp_path: Path, odd: Any, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = read(tmp_path, annotations=annotations(odd, odd))
    assert people(file) == [EXPECTED.tolist()]
    assert file.broken("a.png") is None
    assert file.left_out == {told: 2}
    assert [record.message for record in caplog.records] == [f"poses: {file.path}: left out: 2 ({told} 2)"]


@pytest.mark.parametrize(
    ("points", "told"),
    [
        ([float("nan"), *PLAIN[1:]], "keypoints that are not finite"),
        ([*PLAIN[:2], float("inf"), *PLAIN[3:]], "keypoints that are not finite"),
        ([None, *PLAIN[1:]], "keypoints that are not finite"),
        (["x", *PLAIN[1:]], "keypoints that are not triples of numbers"),
        (PLAIN[:-1], "keypoints that are not triples of numbers"),
        (PLAIN[:-3], "another number of keypoints"),
        ([*PLAIN[:2], 87.5, *PLAIN[3:]], "keypoints with neither flags (0, 1, 2) nor scores (0 to 1)"),
        ({"x": 1}, "keypoints that are not triples of numbers"),
    ],
)
def test_a_person_that_cannot_be_read_takes_its_picture_along_and_no_other(
    tmp_path: Path, points: Any, told: str
) -> None:
    images = [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}]
    file = read(
        tmp_path, images=images, annotations=annotations({"image_id": 2, "category_id": 1, "keypoints": points})
    )
    assert file.broken("b.png") == told
    assert file.broken("a.png") is None
    assert people(file) == [EXPECTED.tolist()]
    assert file.left_out == {told: 1}


@pytest.mark.parametrize("size", [None, "", "100", 100.0, "unknown", [100]])
def test_sizes_as_tools_write_them(tmp_path: Path, size: Any) -> None:
    file = read(tmp_path, images=[{"id": 1, "file_name": "a.png", "width": size, "height": size}])
    assert people(file) == [EXPECTED.tolist()]
    assert file.broken("a.png") is None


@pytest.mark.parametrize("size", [-100, float("nan"), float("inf"), "-5", "inf"])
def test_a_negative_or_infinite_size_is_refused(tmp_path: Path, size: Any) -> None:
    images = [{"id": 1, "file_name": "a.png", "width": size, "height": 100}, {"id": 2, "file_name": "b.png"}]
    file = read(tmp_path, images=images, annotations=annotations({"image_id": 2, "category_id": 1, "keypoints": PLAIN}))
    assert file.broken("a.png") == "image of negative or infinite size"
    assert people(file, "b.png") == [EXPECTED.tolist()]


def test_a_score_in_place_of_a_flag_is_a_confidence(tmp_path: Path) -> None:
    points = POINTS.copy()
    points[:, 2] = np.linspace(0.1, 0.9, 17)
    (pose,) = read(tmp_path, annotations=[{"image_id": 1, "keypoints": points.ravel().tolist()}]).poses(
        "a.png", 100, 100
    )
    assert pose[NOSE, 2] == pytest.approx(0.1)
    assert pose[L_SHOULDER, 2] == pytest.approx(points[5, 2])
    assert pose[NECK, 2] == pytest.approx(points[5, 2]), "no surer than the less sure shoulder"


@pytest.mark.parametrize(
    "style", ["{side}_{part}", "{part}_{side}", "{Side} {Part}", "{S}-{Part}", "{side}{Part}", "{S}{Part}"]
)
def test_keypoints_in_another_order_are_put_in_coco_s(tmp_path: Path, style: str) -> None:
    def called(name: str) -> str:
        if name == "nose":
            return name
        side, part = name.split("_")
        return style.format(side=side, part=part, Side=side.title(), Part=part.title(), S=side[0].upper())

    order = np.random.default_rng(0).permutation(17)
    names = ["extra", *(called(COCO_NAMES[n]) for n in order)]
    points = np.vstack([[(1, 1, 2)], POINTS[order]]).ravel().tolist()
    file = read(
        tmp_path,
        categories=[{"id": 7, "name": "person", "keypoints": names}],
        annotations=[{"image_id": 1, "category_id": 7, "keypoints": points}],
    )
    assert people(file) == [EXPECTED.tolist()]


@pytest.mark.parametrize(
    "category",
    [
        {"id": 2, "name": "antelope", "keypoints": ANIMAL.split()},
        {"id": 2, "name": "dog", "supercategory": "animal"},
        {"id": 2, "name": "macaque", "keypoints": list(COCO_NAMES)},
        {"id": 2, "name": "statue", "keypoints": list(COCO_NAMES)},
    ],
)
def test_animals_and_things_are_no_people(tmp_path: Path, category: dict[str, Any]) -> None:
    person = {"id": 1, "name": "Person", "keypoints": list(COCO_NAMES)}
    both = annotations({"image_id": 1, "category_id": 2, "keypoints": PLAIN})
    file = read(tmp_path, categories=[category, person], annotations=both)
    assert file.left_out == {"annotation of another category": 1}
    assert people(file) == [EXPECTED.tolist()]


def test_only_animals_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no annotation can be used: left out: 1 .annotation of another category 1"):
        read(tmp_path, categories=[{"id": 1, "name": "antelope", "keypoints": ANIMAL.split()}])


@pytest.mark.parametrize("names", [[], None, [str(n) for n in range(1, 18)]])
def test_categories_without_names_are_coco_s(tmp_path: Path, names: Any) -> None:
    assert people(read(tmp_path, categories=[{"id": 1, "name": "figure", "keypoints": names}])) == [EXPECTED.tolist()]


def test_a_picture_entered_twice_has_its_people_once(tmp_path: Path) -> None:
    other = POINTS + np.array([40, 30, 0])
    half = POINTS * (0.5, 0.5, 1) + np.array([0.2, 0.2, 0])
    file = read(
        tmp_path,
        images=[
            {"id": 1, "file_name": "a.png", "width": 100, "height": 100},
            {"id": 2, "file_name": "a.png", "width": 50, "height": 50},
        ],
        annotations=annotations(
            {"image_id": 2, "category_id": 1, "keypoints": half.ravel().tolist()},
            {"image_id": 1, "category_id": 1, "keypoints": other.ravel().tolist()},
        ),
    )
    assert people(file) == [EXPECTED.tolist(), openpose_from_coco(other).tolist()]


def test_one_id_for_two_pictures_hands_no_pose_to_either(tmp_path: Path) -> None:
    file = read(tmp_path, images=[{"id": 1, "file_name": "a.png"}, {"id": 1, "file_name": "b.png"}])
    assert file.broken("a.png") == file.broken("b.png") == "image id that two images have"


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"images": ' + '{"a":' * 100_000,
        "9" * 5000,
        '{"images": [], "annotations": {}}',
        "[]",
        "null",
        '"text"',
        '{"images": [1], "annotations": []}',
        "\x00",
    ],
)
def test_hostile_files_are_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "poses.json").write_text(text)
    with pytest.raises(UserError, match=r"poses\.json: not a COCO-keypoints JSON") as told:
        read_pose_file(str(tmp_path / "poses.json"))
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 400 + len(str(tmp_path))
