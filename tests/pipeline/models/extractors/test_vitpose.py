"""ViTPose behind RT-DETR, by transformers: many pictures at once give what one by one gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hub_layout import VITPOSE

from pipeline.config import ModelRef, UserError
from pipeline.imaging import openpose18
from pipeline.models.extractors import people, people_in
from pipeline.models.extractors.vitpose import _pose
from pipeline.models.resolve import Model


@pytest.fixture
def model(hub: dict[str, Path]) -> Model:
    return Model(ModelRef.model_validate(VITPOSE), str(hub["sdxl"]))


def pictures() -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (3, 96, 128, 3), np.uint8))


def test_one_person_a_picture_with_all_18_keypoints_in_place(model: Model) -> None:
    together = people_in(model, pictures())
    assert [len(found) for found in together] == [1, 1, 1]
    for found, picture in zip(together, pictures(), strict=True):
        (alone,) = people(model, picture)
        assert alone.shape == (18, 3)
        there = alone[alone[:, 2] > 0]
        assert len(there) > 5
        assert ((there[:, :2] >= 0) & (there[:, :2] <= 1)).all()
        assert found[0] == pytest.approx(alone, abs=1e-3)


def test_joints_come_in_openpose_s_order_and_those_outside_are_missing() -> None:
    points, scores = np.full((17, 2), 0.5), np.full(17, 0.8)
    points[openpose18.COCO_NAMES.index("left_wrist")] = 0.25
    points[openpose18.COCO_NAMES.index("right_knee")] = 1.5
    scores[openpose18.COCO_NAMES.index("left_ear")] = 0.1
    pose = _pose(points, scores)
    assert pose[openpose18.L_WRIST].tolist() == [0.25, 0.25, 0.8]
    assert pose[openpose18.R_KNEE].tolist() == [0, 0, 0]
    assert pose[openpose18.L_EAR].tolist() == [0, 0, 0]
    assert pose[openpose18.NECK].tolist() == pytest.approx([0.5, 0.5, 0.8])


def test_what_was_made_depends_on_both_networks(model: Model, hub: dict[str, Path]) -> None:
    other = ModelRef.model_validate({**VITPOSE, "detector": {"repo": str(VITPOSE["repo"]), "license": "x"}})
    assert Model(other, str(hub["sdxl"])).identity() != model.identity()


def test_a_missing_detector_is_told(hub: dict[str, Path]) -> None:
    ref = ModelRef.model_validate({**VITPOSE, "detector": None, "license": "other"}).model_copy(
        update={"revision": "x"}
    )
    with pytest.raises(UserError, match="name a detector in the profile"):
        people(Model(ref, str(hub["sdxl"])), pictures()[0])
