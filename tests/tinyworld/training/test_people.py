"""Training data of the pose network and SAM, and that a stopped training goes on as if it had not been stopped."""

import dataclasses

import numpy as np
import pytest
import torch

from pipeline.tiny.pose_net import PoseNetConfig
from pipeline.tiny.sam import SamConfig, new_sam
from tinyworld.training import pose, sam
from tinyworld.training.augment import degrade
from tinyworld.training.measure import keypoint_box
from tinyworld.training.pairs import draw_pair, load_pairs
from tinyworld.training.renders import Renders
from tinyworld.world import render_seed

FEW = {"batch_size": 4, "warmup": 1, "decay": 0.0, "checkpointing_steps": 2}
SMALL_POSE = PoseNetConfig(channels=(8, 8, 8, 8))
SMALL_SAM = SamConfig(embed_dim=24, depth=1, num_heads=2, prompt_dim=32, decoder_depth=1, decoder_heads=2)


@pytest.fixture(scope="module")
def renders() -> Renders:
    shots = [render_seed(seed) for seed in range(8)]
    return Renders(
        first_seed=0,
        images=np.stack([s.image for s in shots]),
        masks=np.stack([s.mask for s in shots]),
        keypoints=np.stack([s.keypoints for s in shots]),
        backgrounds=np.stack([s.background_image for s in shots]),
    )


def test_a_pair_is_settled_by_its_seed_and_its_masks_are_apart():
    for seed in range(5):
        image, masks, keypoints = draw_pair(seed)
        assert (draw_pair(seed)[0] == image).all()
        assert not (masks[0] & masks[1]).any()
        for mask, points in zip(masks, keypoints, strict=True):
            seen = points[points[:, 2] > 0, :2]
            columns, rows = (seen * 64).astype(int).T
            assert len(seen) >= 6
            assert mask[rows, columns].mean() > 0.7


def test_hidden_keypoints_of_a_pair_lie_on_the_other_figure():
    pairs = [draw_pair(seed) for seed in range(60)]
    hidden = [(masks[1], points[0][points[0, :, 2] < 0]) for _, masks, points in pairs]
    assert sum(len(points) for _, points in hidden) > 0
    for mask, points in hidden:
        columns, rows = (points[:, :2] * 64).astype(int).T
        assert mask[rows, columns].all()


def test_pairs_are_kept_in_the_work_folder(tmp_path):
    first = load_pairs(tmp_path, 3)
    files = list(tmp_path.iterdir())
    again = load_pairs(tmp_path, 3)
    assert len(files) == 1
    assert (first.images == again.images).all()
    assert (first.images[2] == draw_pair(2)[0]).all()


def test_degrading_is_settled_by_the_generator_and_keeps_the_shape(renders):
    one, other = (degrade(renders.images, np.random.default_rng(1)) for _ in range(2))
    assert (one == other).all()
    assert one.shape == renders.images.shape
    assert one.dtype == np.uint8
    change = np.abs(one.astype(float) - renders.images).mean(axis=(1, 2, 3))
    assert 1 < change.mean() < 60


def test_hidden_joints_count_neither_way():
    people = np.zeros((1, 2, 18, 3), np.float32)
    people[0, 0, :, :] = (0.5, 0.5, 1)
    people[0, 0, 4] = (0.2, 0.2, -1)
    targets = pose.draw_targets(torch.from_numpy(people), 16)
    assert targets.care[0, 4, 3, 3] == 0
    assert targets.heatmaps[0, 4].max() == 0
    assert targets.near[0, 4].max() == 0
    assert targets.care[0, 3].min() == 1


def test_prompts_are_visible_keypoints_inside_their_box():
    keypoints = np.stack([render_seed(seed).keypoints for seed in range(6)])
    for seed in range(10):
        points, labels, boxes = sam.draw_prompts(keypoints, 64, np.random.default_rng(seed))
        assert points.shape[:2] == labels.shape
        assert 1 <= points.shape[1] <= 18
        for i in range(6):
            used = points[i, labels[i] == 1]
            assert 0 < len(used) <= (keypoints[i, :, 2] > 0).sum()
            distance = np.linalg.norm(used[:, None] / 64 - keypoints[i, keypoints[i, :, 2] > 0, :2], axis=2).min(axis=1)
            assert distance.max() < 0.12
            if boxes is not None:
                clipped = used.clip(0, 64)
                assert (clipped >= boxes[i, :2] - 1e-3).all()
                assert (clipped <= boxes[i, 2:] + 1e-3).all()


def test_box_has_its_margin_and_stays_in_the_picture():
    points = np.array([[0.3, 0.2], [0.5, 0.99]])
    np.testing.assert_allclose(keypoint_box(points), [0.3 - 0.0632, 0.2 - 0.0632, 0.5 + 0.0632, 1.0])


def test_batched_decoding_is_what_the_library_decodes_one_by_one():
    torch.manual_seed(0)
    model = new_sam(SMALL_SAM).eval()
    images = torch.rand(3, 3, 64, 64) * 255
    points, labels, boxes = torch.rand(3, 5, 2) * 64, torch.ones(3, 5, dtype=torch.long), torch.rand(3, 4) * 64
    with torch.no_grad():
        embeddings = model.image_encoder(model.preprocess(images))
        masks, scores = sam.decode(model, embeddings, points, labels, boxes)
        for i in range(3):
            sparse, dense = model.prompt_encoder(
                points=(points[i : i + 1], labels[i : i + 1]), boxes=boxes[i : i + 1], masks=None
            )
            places = model.prompt_encoder.get_dense_pe()
            expected = model.mask_decoder.predict_masks(embeddings[i : i + 1], places, sparse, dense)
            torch.testing.assert_close(masks[i : i + 1], expected[0], atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(scores[i : i + 1], expected[1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("module", "config"), [(pose, SMALL_POSE), (sam, SMALL_SAM)], ids=["pose", "sam"])
def test_a_resumed_training_ends_where_an_unbroken_one_does(module, config, renders, tmp_path):
    recipe = dataclasses.replace(module.RECIPE, steps=4, **FEW)

    def weights(name: str, *stops: int) -> dict[str, torch.Tensor]:
        for steps in stops:
            step_recipe = dataclasses.replace(recipe, steps=steps)
            model = module.train(tmp_path / name / "out", tmp_path / name, renders, step_recipe, config, pairs=4)
        return dict(model.state_dict())

    unbroken, resumed = weights("unbroken", 4), weights("resumed", 2, 4)
    assert all(torch.equal(value, resumed[key]) for key, value in unbroken.items())
    assert (tmp_path / "resumed/out/model.safetensors").exists()
