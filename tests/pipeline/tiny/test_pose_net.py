"""The pose network: decoding, files, and the shipped weights behind OpenposeDetector."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.tiny.pose_net import PoseMaps, PoseNet, PoseNetConfig, TinyBody, group, load_body, prepare, save_pose_net
from tinyworld.training.measure import evaluate_pose
from tinyworld.training.pairs import draw_pair
from tinyworld.training.pose import draw_targets
from tinyworld.world import render_seed

WEIGHTS = Path(__file__).parents[3] / "pipeline/tiny/weights/pose"
SEEDS = range(30_000_000, 30_000_040)
MIRROR = [0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 15, 14, 17, 16]


@pytest.fixture(scope="module")
def body() -> TinyBody:
    return load_body(WEIGHTS, MIRROR)


@pytest.fixture(scope="module")
def detector(body):
    from controlnet_aux import OpenposeDetector

    return OpenposeDetector(body)


def perfect_maps(people: np.ndarray) -> PoseMaps:
    """What a network without errors would say of pictures of ``people`` [B, P, 18, 3]."""
    targets = draw_targets(torch.from_numpy(people), PoseNetConfig().grid)
    return PoseMaps(torch.logit(targets.heatmaps.clamp(1e-4, 1 - 1e-4)), targets.offset, targets.centre)


def test_maps_have_the_grid_of_a_quarter_of_the_picture():
    maps = PoseNet(PoseNetConfig())(torch.zeros(2, 3, 64, 64))
    assert maps.heatmaps.shape == (2, 19, 16, 16)
    assert maps.offset.shape == maps.centre.shape == (2, 18, 2, 16, 16)


def test_perfect_maps_give_the_people_back():
    renders = [render_seed(seed).keypoints for seed in range(20)]
    alone = np.stack([np.stack([k, np.zeros_like(k)]) for k in renders])
    for truth, people in zip(renders, group(perfect_maps(alone), PoseNetConfig()), strict=True):
        assert len(people) == 1
        seen = truth[:, 2] > 0
        assert ((people[0, :, 2] > 0) == seen).all()
        np.testing.assert_allclose(people[0, seen, :2], truth[seen, :2], atol=1e-5)


def test_perfect_maps_of_two_people_and_of_nobody():
    pairs = np.stack([draw_pair(seed)[2] for seed in range(20)])
    for truth, people in zip(pairs, group(perfect_maps(pairs), PoseNetConfig()), strict=True):
        assert len(people) == 2
        for person in people:
            found = person[:, 2] > 0
            errors = [np.linalg.norm(person[found, :2] - one[found, :2], axis=1) for one in truth]
            assert min(np.mean(e > 0.01) for e in errors) < 0.1
    assert len(group(perfect_maps(np.zeros((1, 2, 18, 3), np.float32)), PoseNetConfig())[0]) == 0


def test_saved_and_loaded_is_the_same_up_to_float16(tmp_path):
    torch.manual_seed(0)
    model = PoseNet(PoseNetConfig(channels=(8, 16, 16, 16), joint_threshold=0.4)).eval()
    save_pose_net(model, tmp_path)
    loaded = load_body(tmp_path, MIRROR)
    assert loaded.config == model.config
    assert all(p.dtype == torch.float32 for p in loaded.model.parameters())
    x = prepare(render_seed(3).image[None])
    torch.testing.assert_close(loaded.model(x).heatmaps, model(x).heatmaps, atol=2e-2, rtol=1e-2)


def test_a_folder_without_weights_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_body(tmp_path, MIRROR)


@pytest.mark.parametrize("mirrored", [MIRROR[:-1], [0] * 18, [*range(1, 19)]])
def test_a_mirror_table_that_leaves_a_keypoint_out_is_an_error(mirrored):
    with pytest.raises(ValueError, match="each of the 18 keypoints once"):
        load_body(WEIGHTS, mirrored)


def test_detector_finds_the_keypoints_of_renders(detector):
    right, swapped, visible = 0, 0, 0
    for seed in SEEDS:
        shot = render_seed(seed)
        poses = detector.detect_poses(shot.image)
        assert len(poses) >= 1
        found = np.array([[k.x, k.y] if k else [9, 9] for k in poses[0].body.keypoints])
        seen = shot.keypoints[:, 2] > 0
        near = np.linalg.norm(found - shot.keypoints[:, :2], axis=1) <= 0.05
        near_mirror = np.linalg.norm(found - shot.keypoints[MIRROR, :2], axis=1) <= 0.05
        right += near[seen].sum()
        swapped += (near_mirror & ~near)[seen].sum()
        visible += seen.sum()
    assert right / visible > 0.93
    assert swapped / visible < 0.05


def test_left_and_right_hold_from_behind(body):
    """Among held-out renders, those whose right shoulder is on the picture's right are seen from behind."""
    shots = [render_seed(seed) for seed in range(30_000_000, 30_000_200)]
    behind = [
        s for s in shots if s.keypoints[2, 2] and s.keypoints[5, 2] and s.keypoints[2, 0] > s.keypoints[5, 0] + 0.08
    ]
    assert len(behind) >= 5
    people = body.find_people(np.stack([s.image for s in behind]))
    right = [len(p) > 0 and p[0, 2, 0] > p[0, 5, 0] for p in people]
    assert np.mean(right) >= 0.8


def test_channel_order_is_bgr_as_openpose_has_it(body):
    image = render_seed(30_000_001).image
    candidate, subset = body(image[:, :, ::-1])
    person = body.find_people(image[None])[0][0]
    assert candidate.shape[1] == 4
    assert subset.shape[1] == 20
    for joint in range(18):
        index = int(subset[0, joint])
        assert (index >= 0) == (person[joint, 2] > 0)
        if index >= 0:
            np.testing.assert_allclose(candidate[index, :3], person[joint] * [64, 64, 1])
            assert candidate[index, 3] == index
    assert subset[0, 18] == pytest.approx(person[:, 2].sum())
    assert subset[0, 19] == (person[:, 2] > 0).sum()


def test_a_mirrored_picture_gives_the_mirrored_people(body):
    images = np.stack([render_seed(seed).image for seed in SEEDS[:10]])
    for plain, other in zip(body.find_people(images), body.find_people(images[:, :, ::-1]), strict=True):
        back = other[:, MIRROR]
        back[..., 0] = np.where(back[..., 2] > 0, 1 - back[..., 0], 0)
        assert len(plain) == len(back)
        np.testing.assert_allclose(plain[0], back[0], atol=1e-4)


def test_larger_pictures_give_the_same_pose(body):
    image = render_seed(30_000_002).image
    large = np.asarray(Image.fromarray(image).resize((256, 256), Image.Resampling.BICUBIC))
    small, big = (body.find_people(i[None])[0][0] for i in (image, large))
    both = (small[:, 2] > 0.3) & (big[:, 2] > 0.3)
    assert both.sum() >= 6
    assert np.median(np.linalg.norm(small[both, :2] - big[both, :2], axis=1)) < 0.02


def test_nobody_one_and_two_people_are_counted():
    scores = evaluate_pose(WEIGHTS, SEEDS)
    assert scores["false_person"] <= 0.03
    assert scores["one_person"] >= 0.95
    assert scores["two_people"] >= 0.9
    assert scores["keypoints_right"] > 0.93
