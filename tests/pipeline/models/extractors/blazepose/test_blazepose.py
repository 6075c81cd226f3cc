"""BlazePose on photographs: people are found where they are, several of them, and none where nobody is."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from pipeline.config import UserError, load_profile
from pipeline.imaging.keypoints import oks
from pipeline.inputs.pose_file import read_pose_file
from pipeline.models.extractors import people
from pipeline.models.fetch import FETCHABLE
from pipeline.models.resolve import Model


@pytest.fixture(scope="module")
def model(blazepose: Path) -> Model:
    ref = load_profile("photos").models.extractor
    assert ref is not None
    return Model(ref, str(blazepose))


def picture(photos: Path, name: str) -> np.ndarray:
    return np.asarray(Image.open(photos / "images" / name).convert("RGB"))


def test_people_in_photographs_are_found_where_they_are(model: Model, photos: Path) -> None:
    truth, scores = read_pose_file(str(photos / "person_keypoints.json")), []
    for path in sorted((photos / "images").glob("*.jpg")):
        image = picture(photos, path.name)
        (asked,) = truth.poses(path.name, image.shape[1], image.shape[0])
        (found,) = people(model, image)
        assert ((found >= 0) & (found <= 1)).all()
        assert not found[found[:, 2] == 0].any()
        scores.append(oks(asked / (*image.shape[1::-1], 1), found))
    assert np.mean(scores) > 0.88


def test_two_people_are_two(model: Model, photos: Path) -> None:
    pair = [Image.fromarray(picture(photos, f"00000000{number}.jpg")) for number in ("0785", "7511")]
    pair = [image.resize((400 * image.width // image.height, 400)) for image in pair]
    found = people(model, np.hstack([np.asarray(image) for image in pair]))
    assert len(found) == 2
    share = pair[0].width / (pair[0].width + pair[1].width)
    sides = sorted(float(np.mean(pose[pose[:, 2] > 0.5, 0] < share)) for pose in found)
    assert sides == [0, 1]


@pytest.mark.parametrize("name", ["chelsea", "brick", "grass", "gravel"])
@pytest.mark.parametrize("quarter", range(4))
def test_nobody_is_found_where_nobody_is(model: Model, name: str, quarter: int) -> None:
    image = np.atleast_3d(getattr(data, name)())
    image = np.rot90(np.broadcast_to(image, (*image.shape[:2], 3)), quarter)
    half = len(image) // 2
    for part in (image, image[:, ::-1], image[:half], image[half:], image[:half, :half]):
        assert people(model, np.ascontiguousarray(part)) == []


def test_a_picture_s_people_do_not_depend_on_the_thread_or_on_what_came_before(model: Model, photos: Path) -> None:
    names = ["000000000086.jpg", "000000000785.jpg", "000000009483.jpg"]
    alone = {name: people(model, picture(photos, name)) for name in names}
    together: dict[str, list[np.ndarray]] = {}

    def look(name: str) -> None:
        together[name] = [people(model, picture(photos, name)) for _ in range(3)][-1]

    threads = [threading.Thread(target=look, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name: np.array(poses).tolist() for name, poses in together.items()} == {
        name: np.array(poses).tolist() for name, poses in alone.items()
    }


def test_a_missing_file_is_named_with_its_remedy(model: Model, tmp_path: Path) -> None:
    (tmp_path / FETCHABLE["photos"].folder).mkdir()
    with pytest.raises(UserError, match=r"pose_detection\.tflite is missing; run `spotdiff models fetch photos`"):
        people(Model(model.ref, str(tmp_path)), np.zeros((64, 64, 3), np.uint8))


def test_tiny_pictures_and_long_ones_are_no_trouble(model: Model) -> None:
    for shape in ((1, 1), (3, 900), (900, 2)):
        assert people(model, np.full((*shape, 3), 90, np.uint8)) == []
