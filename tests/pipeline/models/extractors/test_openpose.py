"""Poses come through controlnet_aux's detector, with each joint's place and how sure it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from standins import profile

from pipeline.config import UserError, load_profile
from pipeline.models.extractors import people
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
