"""What the diffusion models are trained on, and that tuning begins where the shipped weights end."""

import numpy as np
import pytest
import torch
from typer import BadParameter

from tinyworld.train import WEIGHTS, Trainable, main
from tinyworld.training.autoencoder import cached_decodings, psnr
from tinyworld.training.diffusion import CROWDING, FIGURE, HEAD, add_noise, loss_weights, noise_schedule, shipped
from tinyworld.training.renders import EVALUATION_SEED, STUDIO_SEED, load_renders, scene_of, shows_scene


@pytest.fixture(scope="module")
def renders(tmp_path_factory):
    return load_renders(tmp_path_factory.mktemp("renders"), 6, EVALUATION_SEED, workers=1)


def test_heads_count_most_then_figures_then_the_rest():
    mask = np.zeros((1, 64, 64), bool)
    mask[:, 8:56, 24:40] = True
    keypoints = np.zeros((1, 18, 3), np.float32)
    keypoints[0, [0, 1]] = (0.5, 0.2, 1), (0.5, 0.35, 1)
    weights = loss_weights(mask, keypoints)[0]
    assert weights.mean() == pytest.approx(1)
    assert weights[3, 7] / weights[0, 0] == pytest.approx(HEAD)
    assert weights[10, 7] / weights[0, 0] == pytest.approx(FIGURE)


def test_without_a_head_only_the_figure_counts_more():
    weights = loss_weights(np.ones((1, 64, 64), bool), np.zeros((1, 18, 3), np.float32))
    assert torch.allclose(weights, torch.ones(1, 16, 16))


def test_the_studio_has_plain_walls_but_for_every_fourth_scene():
    seeds = range(STUDIO_SEED, STUDIO_SEED + 16)
    assert [shows_scene(seed) for seed in seeds] == [seed % 4 == 0 for seed in seeds]
    assert all(scene_of(seed).background.kind == "plain" for seed in seeds if not shows_scene(seed))
    assert shows_scene(0)
    assert shows_scene(EVALUATION_SEED)


def test_decoded_renders_are_made_once_and_look_like_the_renders(renders, tmp_path):
    vae = shipped(WEIGHTS).vae
    first = np.array(cached_decodings(vae, renders, tmp_path))
    files = sorted((path.name, path.stat().st_mtime_ns) for path in tmp_path.iterdir())
    again = cached_decodings(vae, renders, tmp_path)
    assert (first == again).all()
    assert sorted((path.name, path.stat().st_mtime_ns) for path in tmp_path.iterdir()) == files
    difference = np.abs(first.astype(float) - renders.images).mean()
    assert 0 < difference < 20
    assert psnr(vae, renders.images) > 20


def test_time_steps_crowd_around_the_middle_and_still_reach_the_ends():
    schedule, latents = noise_schedule(), torch.zeros(1000, 4, 16, 16)
    evenly, crowded = (add_noise(schedule, latents, torch.Generator().manual_seed(0), c)[1] for c in (0.0, CROWDING))
    assert (evenly // 100).bincount().tolist() == [100] * 10
    tenths = (crowded // 100).bincount()
    assert tenths[4] > 2 * tenths[0] > 0
    assert tenths.argmin() in (0, 9)
    assert crowded.min() < 5
    assert crowded.max() > 994


@pytest.mark.slow
def test_tuning_begins_with_the_weights_that_are_there(tmp_path):
    """Two steps at a warm-up's rate barely move them; random weights would be far away."""
    import shutil

    shutil.copytree(WEIGHTS, tmp_path / "weights")
    main(
        Trainable.DIFFUSION,
        tmp_path / "weights",
        tmp_path / "work",
        steps=2,
        scenes=64,
        threads=1,
        seed=None,
        tune=True,
    )
    before, after = shipped(WEIGHTS).generator, shipped(tmp_path / "weights").generator
    for (name, old), new in zip(before.named_parameters(), after.parameters(), strict=True):
        assert (old - new).abs().max() < 0.05, name
    assert any(not torch.equal(a, b) for a, b in zip(before.parameters(), after.parameters(), strict=True))


def test_what_cannot_be_tuned_is_said(tmp_path):
    with pytest.raises(BadParameter, match="sam cannot be tuned"):
        main(Trainable.SAM, tmp_path, tmp_path, steps=1, scenes=4, threads=1, seed=None, tune=True)
