"""The pipelines are diffusers' own; what we spare them must not show in their pictures."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from standins import profile

from pipeline.config import Scheduler, UserError
from pipeline.models.diffusion import Denoiser, background_denoiser, pixels_of, subject_denoiser
from pipeline.models.parts import embed_once
from pipeline.models.resolve import Model

PROMPTS = ["a person in a red shirt", "a person in a green shirt, on a beach"]


def subjects(standins: Path, scheduler: Scheduler | None = None) -> Denoiser:
    models = profile(standins).models
    root = str(standins)
    return subject_denoiser(Model(models.base, root), Model(models.controlnet, root), scheduler or Scheduler())


def backgrounds(standins: Path) -> Denoiser:
    return background_denoiser(Model(profile(standins).models.inpaint, str(standins)), Scheduler())


def counted(monkeypatch: pytest.MonkeyPatch, module: Any, name: str = "forward") -> list[tuple[int, ...]]:
    """Shapes of what ``module.name`` is called with from now on."""
    seen, real = [], getattr(module, name)

    def call(first: torch.Tensor, *rest: Any, **named: Any) -> Any:
        seen.append(tuple(first.shape))
        return real(first, *rest, **named)

    monkeypatch.setattr(module, name, call)
    return seen


def test_networks_are_shared_and_pipelines_are_not(standins: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(subjects, standins).result().pipe
    mine = subjects(standins).pipe
    assert mine is subjects(standins).pipe
    assert mine is not other
    assert mine.scheduler is not other.scheduler
    assert mine.unet is other.unet
    assert mine.controlnet is other.controlnet
    assert mine.safety_checker is None
    assert type(mine).__name__ == "StableDiffusionControlNetPipeline"
    assert type(backgrounds(standins).pipe).__name__ == "StableDiffusionInpaintPipeline"


def test_the_scheduler_is_the_profile_s(standins: Path) -> None:
    pipe = subjects(standins, Scheduler(name="UniPCMultistepScheduler", options={"solver_order": 3})).pipe
    assert type(pipe.scheduler).__name__ == "UniPCMultistepScheduler"
    assert pipe.scheduler.config.solver_order == 3
    assert pipe.scheduler.config.prediction_type == "v_prediction"  # the model's own stays


@pytest.mark.parametrize(
    ("scheduler", "message"),
    [
        (Scheduler(name="DPMSolver"), r"no scheduler 'DPMSolver'"),
        (Scheduler(name="UNet2DModel"), r"no scheduler 'UNet2DModel'"),
        (Scheduler(options={"sover_order": 3}), r"no option 'sover_order'"),
    ],
)
def test_a_wrong_scheduler_is_the_user_s_mistake(standins: Path, scheduler: Scheduler, message: str) -> None:
    with pytest.raises(UserError, match=message):
        subjects(standins, scheduler)


def test_each_prompt_is_encoded_once_and_alone(standins: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    denoiser = subjects(standins)
    seen = counted(monkeypatch, denoiser.pipe.text_encoder)
    texts = ["once and alone", "and another"]
    both = denoiser.embed([*texts, texts[0]])["prompt_embeds"]
    assert torch.equal(both[0], both[2])
    assert torch.equal(denoiser.embed(texts[1:])["prompt_embeds"][0], both[1])
    assert [shape[0] for shape in seen] == [1, 1]
    expected = denoiser.pipe.encode_prompt(texts[1], "cpu", 1, False)[0]
    assert torch.equal(expected[0], both[1])
    assert not torch.equal(both[0], both[1])


def test_latents_are_the_scaled_mode_and_made_once(standins: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    denoiser = backgrounds(standins)
    seen = counted(monkeypatch, denoiser.pipe.vae, "encode")
    picture = torch.rand(1, 3, 64, 64) * 2 - 1
    latents = denoiser.encode("test_latents", lambda: picture)
    assert torch.equal(denoiser.encode("test_latents", lambda: picture), latents)
    assert seen == [(1, 3, 64, 64)]
    with torch.no_grad():
        expected = denoiser.pipe.vae.encode(picture).latent_dist.mode() * denoiser.pipe.vae.config.scaling_factor
    assert torch.allclose(latents, expected)


def control() -> torch.Tensor:
    return torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(5))


def run(denoiser: Denoiser, seeds: list[int], image: torch.Tensor | None = None, **options: Any) -> np.ndarray:
    made = denoiser.denoise(
        seeds=seeds,
        image=control() if image is None else image,
        **denoiser.embed([PROMPTS[seed % 2] for seed in seeds], [""] * len(seeds)),
        num_inference_steps=3,
        guidance_scale=2.0,
        **options,
    )
    return pixels_of(made).astype(int)


def test_a_seed_is_an_image_whatever_the_batch(standins: Path) -> None:
    denoiser = subjects(standins)
    batch = run(denoiser, [11, 12, 13])
    assert np.array_equal(batch, run(denoiser, [11, 12, 13]))
    reordered = run(denoiser, [13, 11])
    assert np.abs(reordered - batch[[2, 0]]).max() <= 1
    assert np.abs(batch[0] - batch[2]).mean() > 5  # same prompt, other seed


def test_the_pictures_are_the_plain_pipeline_s(standins: Path) -> None:
    """Embeddings handed over, control embedded once: the same as diffusers does from prompts and a picture."""
    from diffusers import ControlNetModel, DPMSolverMultistepScheduler, StableDiffusionControlNetPipeline
    from PIL import Image

    net = ControlNetModel.from_pretrained(standins / "stand-in" / "controlnet")
    plain = StableDiffusionControlNetPipeline.from_pretrained(
        standins / "stand-in" / "diffusion", controlnet=net, safety_checker=None
    )
    plain.scheduler = DPMSolverMultistepScheduler.from_config(plain.scheduler.config)
    drawn = (control()[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    expected = plain(
        prompt=[PROMPTS[1], PROMPTS[0]],
        negative_prompt=["", ""],
        image=Image.fromarray(drawn),
        num_inference_steps=3,
        guidance_scale=2.0,
        generator=[torch.Generator("cpu").manual_seed(seed) for seed in (3, 4)],
    ).images
    ours = run(subjects(standins), [3, 4], torch.from_numpy(drawn).permute(2, 0, 1)[None] / 255)
    assert np.abs(ours - np.stack([np.asarray(image) for image in expected])).max() <= 1


def test_the_control_picture_is_embedded_once_a_call(standins: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    denoiser = subjects(standins)
    seen = counted(monkeypatch, denoiser.pipe.controlnet.controlnet_cond_embedding.embedding)
    strong = {"controlnet_conditioning_scale": 4.0}  # random weights hardly look at the picture otherwise
    first = run(denoiser, [1, 2], **strong)
    other = run(denoiser, [1, 2], 1 - control(), **strong)
    again = run(denoiser, [1, 2], **strong)
    assert seen == [(1, 3, 64, 64)] * 3
    assert np.array_equal(first, again)
    assert np.abs(first - other).max() > 1


def test_different_control_pictures_in_one_batch_stay_apart() -> None:
    convolution = torch.nn.Conv2d(3, 4, 3)
    once = embed_once(convolution)
    pictures = torch.rand(3, 3, 8, 8)
    assert torch.equal(once(pictures), convolution(pictures))
    same = pictures[:1].repeat(3, 1, 1, 1)
    assert torch.allclose(once(same), convolution(same), atol=1e-6)
    assert once(same) is once(same)


def test_threads_at_once_give_the_same_pictures(standins: Path) -> None:
    expected = [run(subjects(standins), [seed, seed + 1]) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda seed: run(subjects(standins), [seed, seed + 1]), range(4)))
    assert all(np.array_equal(one, other) for one, other in zip(made, expected, strict=True))


def test_threads_at_once_embed_prompts_at_full_length(standins: Path) -> None:
    def embed(number: int) -> set[int]:
        denoiser = subjects(standins)
        return {denoiser.embed([f"a person in {number} shirts, {n} hats"])["prompt_embeds"].shape[1] for n in range(40)}

    with ThreadPoolExecutor(4) as pool:
        assert set().union(*pool.map(embed, range(4))) == {48}


def test_pixels_are_rounded_and_clipped() -> None:
    values = torch.tensor([-0.5, 0.0, 0.5, 0.999, 1.5, 0.2]).reshape(2, 3, 1, 1)
    assert pixels_of(values).tolist() == [[[[0, 0, 128]]], [[[255, 255, 51]]]]
