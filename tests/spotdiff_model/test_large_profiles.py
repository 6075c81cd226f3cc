"""Train, generate, evaluate on manifests of ``sd15`` and ``sdxl``: their real classes at small size, in hub layout."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hub_layout import hub_profile, write_hub
from PIL import Image
from rendered import write_rendered

from pipeline.imaging.openpose18 import KEYPOINTS
from pipeline.imaging.skeleton import draw_pose
from pipeline.models.resolve import Model
from spotdiff_model.config import TrainConfig, spoken_template
from spotdiff_model.evaluation.evaluation import evaluate
from spotdiff_model.evaluation.settings import evaluate_config
from spotdiff_model.hub import load_diffusion
from spotdiff_model.pipeline import SpotDiffPipeline
from spotdiff_model.placeholder import tokenize
from spotdiff_model.trainer import train

NAMES = ("sd15", "sdxl")
UNGUIDED = {"do_classifier_free_guidance": False}


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def root(name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_hub(tmp_path_factory.mktemp(name), name)


@pytest.fixture(scope="module")
def manifest(name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp(f"{name}-data") / "v1.parquet"
    return write_rendered(path, train=2, validation=1, test=2, subjects=3, backgrounds=2, profile=hub_profile(name))


@pytest.fixture(scope="module")
def trained(root: Path, manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    few = {"max_train_steps": 2, "train_batch_size": 4, "noise_batch_size": 2, "augmentations": 1, "width": 16}
    quiet = {"report_to": "none", "num_validation_images": 1, "lr_warmup_steps": 1, "checkpointing_steps": 2}
    output = str(tmp_path_factory.mktemp("trained"))
    return train(TrainConfig(manifest=str(manifest), output_dir=output, models_root=str(root), **few, **quiet))


@pytest.fixture(scope="module")
def pipe(trained: Path, root: Path) -> SpotDiffPipeline:
    return SpotDiffPipeline.from_encoder(trained, str(root))


def picture(seed: int, side: int = 128) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8))


def test_sampling_is_the_profile_s(name: str, pipe: SpotDiffPipeline) -> None:
    profile, sampling = hub_profile(name), pipe.encoder.config.sampling
    assert sampling.scheduler == profile.schedulers["subjects"] != profile.scheduler
    assert type(pipe.scheduler).__name__ == "UniPCMultistepScheduler"
    assert (sampling.num_inference_steps, sampling.guidance_scale) == (2, profile.subjects.guidance_scale)
    assert (sampling.negative_prompt, sampling.line_width) == ("a crowd", profile.poses.line_width)
    assert (pipe.encoder.config.models.vae is not None) == (name == "sdxl")


def test_a_step_s_losses_are_finite_and_pictures_are_shown(trained: Path) -> None:
    losses = [json.loads(line) for line in (trained / "losses.jsonl").read_text().splitlines()]
    assert len(losses) == 2
    assert all(np.isfinite(value) for value in losses[-1].values())
    assert {"noise", "distillation", "text"} <= losses[-1].keys()
    assert list((trained / "validation").glob("step-*.png"))


def test_the_reference_and_the_pose_make_a_difference(pipe: SpotDiffPipeline) -> None:
    def made(seed: int, **arguments: object) -> np.ndarray:
        generator = torch.Generator().manual_seed(0)
        return np.asarray(pipe(picture(seed), "S* on a beach", generator=generator, **arguments).images[0], int)

    standing = np.column_stack([np.linspace(0.3, 0.7, KEYPOINTS), np.linspace(0.1, 0.9, KEYPOINTS), np.ones(KEYPOINTS)])
    plain = made(1)
    assert plain.shape == (128, 128, 3)
    assert np.array_equal(plain, made(1))
    assert not np.array_equal(plain, made(2))
    assert not np.array_equal(plain, made(1, pose=draw_pose(standing, 128, 0.03)))


def test_pseudo_tokens_reach_every_text_encoder(name: str, root: Path) -> None:
    profile = hub_profile(name)
    text = load_diffusion(Model(profile.models.base, str(root))).text
    assert len(text.encoders) == (2 if name == "sdxl" else 1)
    prompts = tokenize(text.tokenizer, ["S* on a beach"], 2)
    pseudo_tokens = torch.zeros(1, 2, text.vocabulary.shape[1], requires_grad=True)
    told = text.conditions(prompts, pseudo_tokens)
    (told.states.square().sum() + (0 if told.pooled is None else told.pooled.square().sum())).backward()
    assert pseudo_tokens.grad is not None
    widths = [encoder.get_input_embeddings().weight.shape[1] for encoder in text.encoders]
    assert all(part.abs().sum() > 0 for part in pseudo_tokens.grad.split(widths, dim=-1))


def test_words_as_pseudo_tokens_say_what_diffusers_pipeline_says(pipe: SpotDiffPipeline) -> None:
    """The embeddings of "red hat" at S* give what the pipeline itself makes of the prompt with these words."""
    text, words = pipe.text, "red hat"
    ids = text.tokenizer(words, add_special_tokens=False).input_ids
    prompts = tokenize(text.tokenizer, ["a person with S*, on a beach"], len(ids))
    found = text.conditions(prompts, text.vocabulary[ids][None])
    plain = f"a person with {words}, on a beach"
    wanted = pipe._denoiser(False).encode_prompt(plain, device="cpu", num_images_per_prompt=1, **UNGUIDED)
    assert torch.allclose(found.states, wanted[0], atol=1e-4)
    if found.pooled is not None:
        assert torch.allclose(found.pooled, wanted[2], atol=1e-4)


def test_prompts_for_training_name_the_subject(name: str) -> None:
    profile = hub_profile(name)
    assert "{subject}" not in profile.backgrounds.prompt_template  # the repainted area's names the scene alone
    assert spoken_template(profile).format(subject="S*", background="a beach") == "S*, a beach, photo"


@pytest.mark.slow
def test_evaluation_with_dreambench(name: str, trained: Path, manifest: Path, root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "dreambooth" / "dataset" / "dog"
    folder.mkdir(parents=True)
    for number in range(2):
        picture(number).save(folder / f"0{number}.jpg")
    told = {"dreambench": str(folder.parent.parent), "dreambench_images": 1, "mlp": False, "seeds": 1}
    told |= {"subjects": 1, "backgrounds": 1, "poses": 1}
    config = evaluate_config(model=str(trained), manifest=str(manifest), models_root=str(root), **told)
    result = evaluate(config, lambda line: None)
    bench = result.more["dreambench"]
    assert bench and bench["subjects"].keys() == {"dog"}
    assert all(np.isfinite(value) for value in bench["mean"].values())
