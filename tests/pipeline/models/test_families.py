"""A family's adapter gives what diffusers' own pipeline gives; the rest of the code knows no family."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hub_layout import hub_profile

from pipeline.config import ModelRef, Profile, Runtime, UserError
from pipeline.models import device, diffusion, turns
from pipeline.models.diffusion import Denoiser, background_denoiser, finite, pixels_of, subject_denoiser
from pipeline.models.families import family_of
from pipeline.models.resolve import Model

PROMPTS, NEGATIVES = ["a person in a red shirt", "a person in a green hat"], ["a crowd", "a crowd"]
SIDE = 128


def subjects(root: Path, made: Profile, runtime: Runtime | None = None) -> Denoiser:
    models, at = made.models, str(root)
    vae = Model(models.vae, at) if models.vae else None
    return subject_denoiser(
        Model(models.base, at), Model(models.controlnet, at), made.schedulers["subjects"], vae, runtime
    )


def backgrounds(root: Path, made: Profile, runtime: Runtime | None = None) -> Denoiser:
    vae = Model(made.models.vae, str(root)) if made.models.vae else None
    return background_denoiser(Model(made.models.inpaint, str(root)), made.schedulers["backgrounds"], vae, runtime)


def control() -> torch.Tensor:
    return torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(5))


def test_sdxl_s_subjects_are_the_plain_pipeline_s(hub: dict[str, Path]) -> None:
    """Both encoders' embeddings, the pooled ones and the time ids, from prompts handed to diffusers itself."""
    from diffusers import (
        AutoencoderKL,
        ControlNetModel,
        StableDiffusionXLControlNetPipeline,
        UniPCMultistepScheduler,
    )

    root, made = hub["sdxl"], hub_profile("sdxl")
    denoiser = subjects(root, made)
    drawn = control()
    ours = denoiser.denoise(
        seeds=[3, 4],
        **denoiser.embed(PROMPTS, NEGATIVES),
        **denoiser.family.subject_arguments(drawn, made.subjects),
    )
    plain = StableDiffusionXLControlNetPipeline.from_pretrained(
        root / made.models.base.repo,
        variant="fp16",
        controlnet=ControlNetModel.from_pretrained(root / made.models.controlnet.repo),
        vae=AutoencoderKL.from_pretrained(root / made.models.vae.repo),  # type: ignore[union-attr]
        add_watermarker=False,
    )
    plain.scheduler = UniPCMultistepScheduler.from_config(plain.scheduler.config)
    expected = plain(
        prompt=PROMPTS,
        negative_prompt=NEGATIVES,
        image=drawn.repeat(2, 1, 1, 1),
        num_inference_steps=made.subjects.num_inference_steps,
        guidance_scale=made.subjects.guidance_scale,
        generator=[torch.Generator("cpu").manual_seed(seed) for seed in (3, 4)],
        output_type="pt",
    ).images
    assert np.abs(pixels_of(ours).astype(int) - pixels_of(expected).astype(int)).max() <= 1
    assert np.abs(pixels_of(ours)[0].astype(int) - pixels_of(ours)[1]).mean() > 2


def test_sdxl_s_backgrounds_are_the_plain_pipeline_s(hub: dict[str, Path]) -> None:
    from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, StableDiffusionXLInpaintPipeline

    root, made = hub["sdxl"], hub_profile("sdxl")
    denoiser = backgrounds(root, made)
    picture, repaint = control(), torch.zeros(1, 1, SIDE, SIDE)
    repaint[..., :64] = 1
    latents = denoiser.encode("picture", lambda: (picture * 2 - 1) * (1 - repaint))
    ours = denoiser.denoise(
        seeds=[3],
        **denoiser.embed(PROMPTS[:1], NEGATIVES[:1]),
        **denoiser.family.background_arguments(picture, repaint, latents, made.backgrounds),
    )
    plain = StableDiffusionXLInpaintPipeline.from_pretrained(
        root / made.models.inpaint.repo,
        variant="fp16",
        vae=AutoencoderKL.from_pretrained(root / made.models.vae.repo),  # type: ignore[union-attr]
        add_watermarker=False,
    )
    plain.scheduler = DPMSolverMultistepScheduler.from_config(plain.scheduler.config, use_karras_sigmas=True)
    expected = plain(
        prompt=PROMPTS[:1],
        negative_prompt=NEGATIVES[:1],
        image=picture,
        mask_image=repaint,
        height=SIDE,
        width=SIDE,
        strength=1.0,
        num_inference_steps=made.backgrounds.num_inference_steps,
        guidance_scale=made.backgrounds.guidance_scale,
        generator=[torch.Generator("cpu").manual_seed(3)],
        output_type="pt",
    ).images
    assert np.abs(pixels_of(ours).astype(int) - pixels_of(expected).astype(int)).max() <= 2


def test_an_unknown_kind_names_those_there_are() -> None:
    with pytest.raises(UserError, match="kind 'flux' of a diffusion model is none of sd, sdxl"):
        family_of(Model(ModelRef(repo="a/b", license="MIT", kind="flux")))


def test_an_autoencoder_s_shift_is_taken_off_and_put_back(hub: dict[str, Path]) -> None:
    family = family_of(Model(hub_profile("sd15").models.base))
    vae: Any = type("Vae", (), {"config": type("Config", (), {"scaling_factor": 0.5, "shift_factor": 0.25})})
    latents = torch.tensor([1.0, 2.0])
    assert torch.equal(family.to_latents(vae, latents), (latents - 0.25) * 0.5)
    assert torch.equal(family.from_latents(vae, family.to_latents(vae, latents)), latents)


@pytest.fixture
def overflowing(hub: dict[str, Path]) -> Denoiser:
    """A denoiser whose autoencoder overflows in half precision, and only there."""
    real = backgrounds(hub["sd15"], hub_profile("sd15"))
    vae = copy.deepcopy(real.pipe.vae)
    for weights in (vae.decoder.conv_in.weight, vae.decoder.conv_in.bias):
        # normalised away behind it, where numbers are large enough; the weights themselves still fit
        weights.data = (weights.data * 3e5).clamp(-6e4, 6e4)
    pipe = copy.copy(real.pipe)
    pipe.vae = vae.half()
    return Denoiser(pipe, real.family, real.runtime, pipe)


def test_what_overflows_in_half_precision_is_decoded_in_full(overflowing: Denoiser) -> None:
    latents = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(0)).half()
    with torch.inference_mode():
        half = overflowing._decoded(overflowing.pipe.vae, latents)
        made = overflowing.decode(latents)
    assert finite(half) == [False, False]
    assert finite(made) == [True, True]
    assert pixels_of(made).std() > 1
    assert overflowing.pipe.vae.dtype == torch.float16  # other threads may be using it


def test_latents_that_are_not_finite_stay_so(overflowing: Denoiser) -> None:
    latents = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(0)).half()
    latents[1] = float("nan")
    with torch.inference_mode():
        assert finite(overflowing.decode(latents)) == [True, False]


def test_one_pipeline_at_a_time_where_memory_is_for_one(hub: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers import DiffusionPipeline

    moves: list[tuple[str, str]] = []
    real = DiffusionPipeline.to

    def to(self: Any, where: Any, *rest: Any, **named: Any) -> Any:
        moves.append(("backgrounds" if "Inpaint" in type(self).__name__ else "subjects", str(where)))
        return real(self, where, *rest, **named)

    monkeypatch.setattr(DiffusionPipeline, "to", to)
    monkeypatch.setattr(turns, "_there", [])
    made, one = hub_profile("sd15"), Runtime(resident="one")
    makers = {"subjects": subjects, "backgrounds": backgrounds}
    for name in ("subjects", "subjects", "backgrounds", "subjects"):
        makers[name](hub["sd15"], made, one).embed([f"{name}, a new prompt"])
    assert moves == [
        ("subjects", "cpu"),  # there
        ("subjects", "cpu"), ("backgrounds", "cpu"),  # away, there
        ("backgrounds", "cpu"), ("subjects", "cpu"),
    ]  # fmt: skip


def test_where_memory_is_for_all_nothing_moves_after_loading(
    hub: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from diffusers import DiffusionPipeline

    made = hub_profile("sd15")
    both = [make(hub["sd15"], made) for make in (subjects, backgrounds)]
    monkeypatch.setattr(DiffusionPipeline, "to", lambda *_: pytest.fail("moved"))
    for denoiser in both:
        with suppress(KeyError):
            denoiser.embed(["another new prompt"])


def test_attention_is_torch_s_own(hub: dict[str, Path]) -> None:
    unet = subjects(hub["sdxl"], hub_profile("sdxl")).pipe.unet
    assert {type(one).__name__ for one in unet.attn_processors.values()} == {"AttnProcessor2_0"}


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Loading believes in a GPU; with ``resident = "one"`` nothing is moved there yet."""
    monkeypatch.setattr(diffusion, "device", lambda: torch.device("cuda"))
    monkeypatch.setattr(device, "device", lambda: torch.device("cuda"))
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def layouts(pipe: Any) -> dict[str, bool]:
    """Of each network with convolutions, whether all that can tell lie channels last."""
    kernels = {
        name: [
            one.weight
            for one in getattr(pipe, name).modules()
            if isinstance(one, torch.nn.Conv2d) and one.weight.shape[1] > 1 and one.weight[0, 0].numel() > 1
        ]
        for name in ("unet", "controlnet", "vae")
        if hasattr(pipe, name)
    }
    return {
        name: all(one.is_contiguous(memory_format=torch.channels_last) for one in found)
        for name, found in kernels.items()
    }


@pytest.mark.usefixtures("as_on_a_gpu")
def test_on_a_gpu_all_networks_lie_channels_last_and_full_precision_is_tf32(hub: dict[str, Path]) -> None:
    made, one = hub_profile("sd15"), Runtime(resident="one", vae_slicing=True)
    assert layouts(subjects(hub["sd15"], made, one).pipe) == {"unet": True, "controlnet": True, "vae": True}
    assert layouts(backgrounds(hub["sd15"], made, one).pipe) == {"unet": True, "vae": True}
    assert torch.backends.cuda.matmul.allow_tf32
    assert torch.backends.cudnn.allow_tf32


def test_on_a_cpu_unets_keep_the_layout_that_is_faster_there(hub: dict[str, Path]) -> None:
    before = torch.backends.cuda.matmul.allow_tf32
    pipe = subjects(hub["sd15"], hub_profile("sd15"), Runtime(vae_slicing=True)).pipe
    assert layouts(pipe) == {"unet": False, "controlnet": False, "vae": True}
    assert torch.backends.cuda.matmul.allow_tf32 == before


def test_the_autoencoder_decodes_in_slices_where_the_profile_says_so(hub: dict[str, Path]) -> None:
    made = hub_profile("sd15")
    sliced = subjects(hub["sd15"], made, made.runtime).pipe.vae
    assert made.runtime.vae_slicing
    assert (sliced.use_slicing, subjects(hub["sd15"], made, Runtime()).pipe.vae.use_slicing) == (True, False)
