"""The small SAM: files, and the shipped weights through SamPredictor."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from segment_anything import SamPredictor, sam_model_registry

from pipeline.tiny.sam import SamConfig, build_sam, new_sam, save_sam
from tinyworld.training.measure import evaluate_sam, keypoint_box, score_sam
from tinyworld.world import render_seed

WEIGHTS = Path(__file__).parents[3] / "pipeline/tiny/weights/sam"
SEEDS = range(30_000_000, 30_000_030)


@pytest.fixture(scope="module")
def sam():
    return build_sam(WEIGHTS)


def predict(sam, image: np.ndarray, keypoints: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    predictor = SamPredictor(sam)
    predictor.set_image(image)
    points = keypoints[keypoints[:, 2] > 0, :2]
    side = image.shape[0]
    return predictor.predict(points * side, np.ones(len(points)), keypoint_box(points) * side)


def test_saved_and_loaded_is_the_same_up_to_float16(tmp_path):
    torch.manual_seed(0)
    config = SamConfig(embed_dim=24, depth=2, prompt_dim=32, global_attn_indexes=(0,))
    fresh = new_sam(config).eval()
    save_sam(fresh, config, tmp_path)
    loaded = build_sam(tmp_path)
    shot = render_seed(5)
    masks, other = (predict(model, shot.image, shot.keypoints)[2] for model in (fresh, loaded))
    np.testing.assert_allclose(masks, other, atol=0.05)
    assert not loaded.training


def test_a_folder_without_weights_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        build_sam(tmp_path)


def test_registry_of_segment_anything_is_left_alone(sam):
    assert set(sam_model_registry) == {"default", "vit_h", "vit_l", "vit_b"}


def test_three_masks_of_the_pictures_size_and_low_res_logits(sam):
    shot = render_seed(30_000_003)
    masks, scores, logits = predict(sam, shot.image, shot.keypoints)
    assert masks.shape == (3, 64, 64)
    assert masks.dtype == bool
    assert scores.shape == (3,)
    assert logits.shape == (3, 64, 64)


def test_masks_of_renders_and_of_one_among_two():
    scores = evaluate_sam(WEIGHTS, SEEDS)
    assert scores["iou"] > 0.9
    assert scores["iou_of_two"] > 0.8
    assert scores["iou_error"] < 0.08


def test_larger_pictures_work_too(sam):
    shot = render_seed(30_000_004)
    large = np.asarray(Image.fromarray(shot.image).resize((160, 160), Image.Resampling.BICUBIC))
    truth = np.asarray(Image.fromarray(shot.mask).resize((160, 160), Image.Resampling.NEAREST))
    assert score_sam(sam, large[None], truth[None], shot.keypoints[None])["iou"] > 0.8
