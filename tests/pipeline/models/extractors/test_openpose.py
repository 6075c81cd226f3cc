"""Poses come through controlnet_aux's detector, with each joint's place and how sure it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hub_layout import hub_profile
from standins import profile

from pipeline.config import ModelRef, UserError, load_profile
from pipeline.models.extractors import people, people_in
from pipeline.models.extractors.openpose import detector
from pipeline.models.resolve import Model
from tinyworld.world.render import render_seed


def test_people_are_the_detector_s_own(weights: Path) -> None:
    model = Model(load_profile("tiny").models.pose)
    finder = detector(model)
    assert type(finder).__name__ == "OpenposeDetector"
    seen = 0
    for seed in range(920_000, 920_010):
        image = render_seed(seed).image
        for pose, body in zip(people(model, image), finder.detect_poses(image), strict=True):
            for joint, keypoint in zip(pose, body.body.keypoints, strict=True):
                if keypoint is None:
                    assert joint.tolist() == [0, 0, 0]
                else:
                    assert joint[:2] == pytest.approx((keypoint.x, keypoint.y))
                    assert 0 < joint[2] <= 1
                    seen += 1
    assert seen > 100


def test_joints_lie_where_the_render_has_them(weights: Path) -> None:
    model = Model(load_profile("tiny").models.pose)
    near, confidences = [], []
    for seed in range(920_000, 920_030):
        shot = render_seed(seed)
        found = people(model, shot.image)
        truth = shot.keypoints[shot.keypoints[:, 2] > 0]
        if found:
            best = found[0][shot.keypoints[:, 2] > 0]
            near += (np.abs(best[:, :2] - truth[:, :2]).max(axis=1) < 0.06).tolist()
            confidences += best[:, 2].tolist()
        else:
            near += [False] * len(truth)
    assert np.mean(near) > 0.85
    assert len({*confidences}) > 10  # how sure it is, not a constant


def test_the_process_has_one(standins: Path) -> None:
    model = Model(profile(standins).models.pose, str(standins))
    assert detector(model) is detector(model)
    assert people(model, np.zeros((64, 64, 3), np.uint8)) == []


def test_half_precision_is_the_user_s_mistake(standins: Path) -> None:
    ref = profile(standins).models.pose.model_copy(update={"dtype": "float16"})
    with pytest.raises(UserError, match="float32"):
        detector(Model(ref, str(standins)))


@pytest.fixture
def seeing(hub: dict[str, Path]) -> Model:
    """OpenPose out of a file of its own shape."""
    return Model(hub_profile("sd15").models.pose, str(hub["sd15"]))


def test_many_pictures_go_through_the_network_at_once(seeing: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    network = detector(seeing).body_estimation.model
    seen, real = [], network.forward
    monkeypatch.setattr(network, "forward", lambda x: (seen.append(len(x)), real(x))[1])
    images = [np.full((128, 128, 3), level, np.uint8) for level in (10, 90, 200)]
    assert people_in(seeing, images) == [[], [], []]
    assert seeing.ref.batch_size >= 3
    assert seen == [3]


def test_each_picture_is_given_its_own_answer(seeing: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.models.extractors import openpose

    answers: dict[float, float] = {}

    def network(pixels: Any) -> Any:
        marks = pixels.mean(dim=(1, 2, 3), keepdim=True)
        return marks.expand(-1, 38, 4, 4), marks.expand(-1, 19, 4, 4)

    def looked(body: Any, image: np.ndarray) -> list[np.ndarray]:
        pixels = torch.from_numpy(image[:1, :1].astype(np.float32)).permute(2, 0, 1)[None]
        answers[float(pixels.mean())] = float(body.model(pixels)[0].mean())
        return []

    monkeypatch.setattr(detector(seeing).body_estimation, "model", network)
    monkeypatch.setattr(openpose, "_people", looked)
    images = [np.full((32, 32, 3), level, np.uint8) for level in (10, 90, 200, 30)]
    openpose.batch(seeing, images)
    assert answers == {10: 10, 90: 90, 200: 200, 30: 30}


def test_an_error_in_a_batch_comes_out_and_nobody_waits(seeing: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def forward(pixels: Any) -> Any:
        raise ValueError("wrong shape")

    monkeypatch.setattr(detector(seeing).body_estimation.model, "forward", forward)
    with pytest.raises(ValueError, match="wrong shape"):
        people_in(seeing, [np.zeros((64, 64, 3), np.uint8)] * 3)


class Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemError('the checkpoint ran code')",))


def test_a_file_that_carries_code_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a" / "pose").mkdir(parents=True)
    torch.save({"weights": Harmful()}, tmp_path / "a" / "pose" / "body.pth")
    ref = ModelRef(repo="a/pose", license="x", kind="openpose", checkpoint="body.pth")
    with pytest.raises(UserError, match=r"a/pose: cannot be loaded .*[Ww]eights.only"):
        people(Model(ref, str(tmp_path)), np.zeros((64, 64, 3), np.uint8))
