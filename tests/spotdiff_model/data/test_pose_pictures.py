"""Further pictures for the pose expert: what is read, what is refused, and that nothing else learns from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.config import UserError, load_profile
from spotdiff_model.config import TrainConfig
from spotdiff_model.data.cache import FeatureCache
from spotdiff_model.data.features import clip_cache
from spotdiff_model.data.pairs import Batch
from spotdiff_model.data.pose_pictures import PosePictures, read_pose_pictures
from spotdiff_model.hub import vision_encoder
from spotdiff_model.trainer import DeviceStep, Objective
from spotdiff_model.training.setup import encoder_config, prepare
from tinyworld.world.export import export
from tinyworld.world.render import render_seed

COUNT = 6


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(tmp_path_factory.mktemp("world"), COUNT, seed=7)


def _read(path: Path, cache: Path) -> tuple[PosePictures, list[Any]]:
    config = encoder_config(TrainConfig(manifest="-"), load_profile("tiny"), "")
    said: list[Any] = []
    features = FeatureCache(cache, "clip", "test")
    return read_pose_pictures(str(path), features, vision_encoder(config), lambda *told: said.append(told)), said


@pytest.mark.usefixtures("weights")
def test_pictures_are_read_with_their_true_keypoints_and_computed_once(world: Path, tmp_path: Path) -> None:
    poses, said = _read(world, tmp_path)
    assert len(poses.keys) == len(set(poses.keys)) == COUNT
    assert said[-1] == ("CLIP tokens of pose pictures", COUNT, COUNT)
    for number, seed in enumerate(range(7, 7 + COUNT)):
        truth = render_seed(seed).keypoints
        assert np.array_equal(poses.keypoints[number][:, 2] > 0, truth[:, 2] > 0)
        assert np.allclose(poses.keypoints[number], truth, atol=0.002)
    config = encoder_config(TrainConfig(manifest="-"), load_profile("tiny"), "")
    stored = sorted(Path(poses.tokens.folder).iterdir())
    again, _ = _read(world, tmp_path)
    assert again.keys == poses.keys and sorted(Path(again.tokens.folder).iterdir()) == stored
    picture = Image.open(world.parent / "images" / "world-000007.png").resize((64, 64), Image.Resampling.LANCZOS)
    tokens = poses.tokens.get(poses.keys[:1])[0].astype(np.float32)
    assert np.allclose(tokens, vision_encoder(config).tokens([picture])[0].numpy(), atol=0.01)


@pytest.mark.usefixtures("weights")
def test_batches_are_functions_of_seed_and_step(world: Path, tmp_path: Path) -> None:
    poses, _ = _read(world, tmp_path)
    first, again, later, other = (poses.batch(*which, 4) for which in ((0, 5), (0, 5), (0, 6), (1, 5)))
    assert first[0].shape == (4, 65, 576) and first[1].shape == (4, 18, 3)
    assert np.array_equal(first[0], again[0]) and np.array_equal(first[1], again[1])
    assert not np.array_equal(first[1], later[1]) and not np.array_equal(first[1], other[1])


@pytest.mark.usefixtures("weights")
def test_a_picture_that_is_no_square_is_padded_and_its_keypoints_follow(tmp_path: Path) -> None:
    Image.new("RGB", (40, 80), "white").save(tmp_path / "tall.png")
    points = [0, 0, 0] * 16 + [10, 40, 2]  # the right ankle: x of the square is (10 + 20) / 80
    _write(tmp_path, points)
    poses, _ = _read(tmp_path / "poses.json", tmp_path / "cache")
    (joint,) = poses.keypoints[0][poses.keypoints[0][:, 2] > 0]
    assert joint.tolist() == pytest.approx([0.375, 0.5, 1.0])


@pytest.mark.usefixtures("weights")
def test_what_a_camera_turned_is_read_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn to the right
    Image.new("RGB", (80, 40), "white").save(tmp_path / "tall.jpg", exif=exif)
    _write(tmp_path, [0, 0, 0] * 16 + [10, 40, 2], name="tall.jpg", size=(40, 80))
    poses, _ = _read(tmp_path / "poses.json", tmp_path / "cache")
    (joint,) = poses.keypoints[0][poses.keypoints[0][:, 2] > 0]
    assert joint.tolist() == pytest.approx([0.375, 0.5, 1.0])


def _write(
    folder: Path, points: list[float], name: str = "tall.png", people: int = 1, size: tuple[int, int] | None = None
) -> None:
    annotations = [{"image_id": 1, "keypoints": points}] * people
    image = {"id": 1, "file_name": name} | (dict(zip(("width", "height"), size, strict=True)) if size else {})
    (folder / "poses.json").write_text(json.dumps({"images": [image], "annotations": annotations}))


_SOME = [number for joint in range(17) for number in (1.0 + joint, 2.0 * joint, 2.0)]


@pytest.mark.usefixtures("weights")
def test_what_cannot_be_read_is_told_in_a_line(tmp_path: Path) -> None:
    def said(match: str) -> None:
        with pytest.raises(UserError, match=match) as error:
            _read(tmp_path / "poses.json", tmp_path / "cache")
        assert str(error.value).startswith("--pose_pictures") and "\n" not in str(error.value)

    said(r"poses\.json: No such file")
    (tmp_path / "poses.json").write_text('{"images": 3}')
    said(r"not a COCO-keypoints JSON")
    nothing = "none of its pictures shows one person with keypoints; left out: 1 "
    _write(tmp_path, _SOME)
    said(rf"{nothing}\(No such file or directory 1\)")
    (tmp_path / "tall.png").write_bytes(b"no picture")
    said(rf"{nothing}\(unreadable 1\)")
    _write(tmp_path, _SOME, name="../elsewhere.png")
    said(rf"{nothing}\(file_name that leads out of the folder 1\)")


@pytest.mark.usefixtures("weights")
def test_odd_pictures_are_counted_and_the_others_used(
    world: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "images").mkdir()
    for picture in sorted((world.parent / "images").iterdir()):
        (tmp_path / "images" / picture.name).write_bytes(picture.read_bytes())
    names = sorted(picture.name for picture in (tmp_path / "images").iterdir())
    Image.new("1", (20_000, 10_000)).save(tmp_path / "images" / names[0])  # a bomb
    (tmp_path / "images" / names[1]).unlink()
    document = json.loads(world.read_text())
    ids = {image["file_name"].rpartition("/")[2]: image["id"] for image in document["images"]}
    document["annotations"] += [
        {"image_id": ids[names[2]], "category_id": 1, "keypoints": _SOME},
        {"image_id": ids[names[3]], "category_id": 1, "iscrowd": 1, "keypoints": []},
    ]
    (tmp_path / "poses.json").write_text(json.dumps(document))
    poses, said = _read(tmp_path / "poses.json", tmp_path / "cache")
    assert len(poses.keys) == COUNT - 4 and said[-1][1:] == (COUNT, COUNT)
    (told,) = [record.getMessage() for record in caplog.records if record.getMessage().startswith("--pose_pictures")]
    assert "left out: 4 (picture of nobody or of several people 2, No such file or directory 1, too_large 1)" in told


def test_the_pose_expert_learns_from_them_and_nothing_else_does(
    world: Path, rendered: Path, weights: Path, tmp_path: Path
) -> None:
    few = {"train_batch_size": 4, "width": 16, "augmentations": 0, "noise_weight": 0, "distillation_weight": 0}
    config = TrainConfig(
        manifest=str(rendered), output_dir=str(tmp_path / "out"), pose_pictures=str(world), pose_batch_size=3, **few
    )
    prepared = prepare(config, lambda *_: None)
    encoder, diffusion, poses = prepared.encoder, prepared.diffusion, prepared.poses
    assert poses is not None and poses.tokens.folder == clip_cache(config, encoder.config).folder
    objective = Objective(config, prepared.features, diffusion, diffusion.unet, 8, "{subject}, {background}", poses)
    places, none = np.arange(4), np.zeros(4, int)
    parts, output = objective.parts(encoder, Batch(places, places, none, none), DeviceStep(0))
    assert len(output.subject) == 8
    parts["more_keypoints"].backward()
    learning = {name.split(".")[0] for name, value in encoder.named_parameters() if value.grad is not None}
    assert learning == {"pose_expert"}
    plain = prepare(config.model_copy(update={"experts": False}), lambda *_: None)
    assert plain.poses is None
