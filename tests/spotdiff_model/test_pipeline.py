"""The pipeline: a subject's pseudo-tokens into pictures; saved and loaded as any other of diffusers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import standins
import torch
from PIL import Image
from rendered import write_rendered

from pipeline.config import UserError
from pipeline.imaging.skeleton import draw_pose
from spotdiff_model.config import TrainConfig
from spotdiff_model.data.rows import read_rows
from spotdiff_model.pipeline import SpotDiffPipeline
from spotdiff_model.trainer import train


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random models in the shape of Stable Diffusion 1.5: eightfold autoencoder, other widths, hub layout."""
    return standins.write_standins(tmp_path_factory.mktemp("hub"), standins.SD15)


@pytest.fixture(scope="module")
def manifest(hub: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    profile = standins.profile(hub, standins.SD15)
    path = tmp_path_factory.mktemp("manifest") / "v1.parquet"
    return write_rendered(path, train=2, validation=1, test=0, subjects=2, backgrounds=2, profile=profile)


@pytest.fixture(scope="module")
def folder(manifest: Path, hub: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder trained for two steps on models that it knows by their configs alone."""
    few = {"max_train_steps": 2, "train_batch_size": 4, "noise_batch_size": 2, "width": 16, "lora_rank": 2}
    quiet = {"report_to": "none", "num_validation_images": 1, "augmentations": 0}
    output_dir = str(tmp_path_factory.mktemp("trained"))
    return train(TrainConfig(manifest=str(manifest), output_dir=output_dir, models_root=str(hub), **few, **quiet))


@pytest.fixture(scope="module")
def pipe(folder: Path, hub: Path) -> SpotDiffPipeline:
    return SpotDiffPipeline.from_encoder(folder, str(hub))


@pytest.fixture(scope="module")
def picture(manifest: Path) -> Image.Image:
    return dict(read_rows(str(manifest)).images([0]))[0]


def _pixels(pipe: SpotDiffPipeline, *arguments: object, **more: object) -> np.ndarray:
    generator = torch.Generator().manual_seed(0)
    images = pipe(*arguments, generator=generator, num_inference_steps=2, **more).images
    return np.stack([np.asarray(image) for image in images])


def test_the_same_code_serves_other_models(folder: Path, pipe: SpotDiffPipeline) -> None:
    assert pipe.encoder.config.grid == 16
    assert pipe.encoder.config.token_dim == 64
    assert (folder / "validation" / "step-2.png").is_file()
    assert not [name for name, _ in pipe.unet.named_modules() if "lora" in name], "the LoRA is not fused"


def test_pictures_depend_on_subject_and_prompt(pipe: SpotDiffPipeline, picture: Image.Image) -> None:
    first = _pixels(pipe, picture, "S*, on a beach", num_images_per_prompt=2)
    assert first.shape == (2, 128, 128, 3)
    assert np.array_equal(first, _pixels(pipe, picture, "S*, on a beach", num_images_per_prompt=2))
    other = Image.fromarray(255 - np.asarray(picture))
    assert not np.array_equal(first, _pixels(pipe, other, "S*, on a beach", num_images_per_prompt=2))
    assert not np.array_equal(first, _pixels(pipe, picture, "S*, in a forest", num_images_per_prompt=2))


def test_one_subject_in_several_prompts_and_pseudo_tokens_for_it(pipe: SpotDiffPipeline, picture: Image.Image) -> None:
    prompts = ["S*, on a beach", "S*, in a forest"]
    given = _pixels(pipe, picture, prompts)
    assert np.array_equal(given, _pixels(pipe, prompt=prompts, pseudo_tokens=pipe.subject_pseudo_tokens(picture)))


def test_a_pose_goes_through_the_controlnet(pipe: SpotDiffPipeline, picture: Image.Image) -> None:
    points = np.random.default_rng(0).random((18, 3))
    free = _pixels(pipe, picture)
    posed = _pixels(pipe, picture, pose=draw_pose(points, 128, 0.05))
    assert not np.array_equal(free, posed)
    assert not np.array_equal(posed, _pixels(pipe, picture, pose=draw_pose(points[:, [1, 0, 2]], 128, 0.05)))


def test_saved_and_loaded_it_makes_the_same_pictures(
    pipe: SpotDiffPipeline, picture: Image.Image, tmp_path: Path
) -> None:
    pipe.save_pretrained(tmp_path)
    loaded = SpotDiffPipeline.from_pretrained(tmp_path)
    loaded.set_progress_bar_config(disable=True)
    assert loaded.encoder.config == pipe.encoder.config
    assert np.array_equal(_pixels(pipe, picture), _pixels(loaded, picture))


def test_what_cannot_be_done_is_said(pipe: SpotDiffPipeline, picture: Image.Image) -> None:
    with pytest.raises(UserError, match="image: none given"):
        pipe()
    with pytest.raises(UserError, match="2 pictures for 3 prompts"):
        pipe([picture, picture], ["S*"] * 3)
    bare = SpotDiffPipeline(**{**pipe.components, "controlnet": None})
    with pytest.raises(UserError, match="no ControlNet"):
        bare(picture, pose=picture)
