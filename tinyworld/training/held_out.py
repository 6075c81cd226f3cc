"""Pictures of held-out scenes, generated with the prompts, seeds and batches that a build gives them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from pipeline import ids
from pipeline.config import Profile
from pipeline.imaging.paste import kept_area, paste, seam
from pipeline.imaging.skeleton import draw_pose
from pipeline.models.diffusion import Denoiser, background_denoiser, pixels_of, subject_denoiser
from pipeline.models.resolve import Model
from tinyworld.training.renders import EVALUATION_SEED
from tinyworld.world import Background, Identity, render_seed, sample_scene

RUN_SEED = 0
"""Of the build whose pictures these could be; each picture is a first attempt of it."""


def identity_of(number: int) -> Identity:
    """Who is generated as the subject of this number."""
    return sample_scene(EVALUATION_SEED + 100_000 + number).identity


def background_of(number: int) -> Background:
    """What is painted around the figure of this number."""
    return sample_scene(_background_seed(number)).background


def subject_images(profile: Profile, pose_seed: int, numbers: Sequence[int]) -> np.ndarray:
    """Pictures uint8 [B, S, S, 3] of these identities, all in the pose of one scene."""
    settings, models = profile.subjects, profile.models
    denoiser = subject_denoiser(Model(models.base), Model(models.controlnet), profile.schedulers["subjects"])
    control = draw_pose(render_seed(pose_seed).keypoints, profile.sources.size, profile.poses.line_width)
    prompts = [settings.prompt_template.format(subject=identity_of(number).prompt()) for number in numbers]
    guided = settings.guidance_scale > 1
    made = denoiser.denoise(
        seeds=[ids.seed_for(f"{pose_seed:016x}", "subjects", str(number), "", 0, RUN_SEED) for number in numbers],
        **denoiser.embed(prompts, [settings.negative_prompt] * len(prompts) if guided else None),
        **denoiser.family.subject_arguments(_tensor(np.asarray(control)), settings),
    )
    return np.asarray(pixels_of(made))


def variation_images(profile: Profile, numbers: Sequence[int]) -> list[np.ndarray]:
    """Pictures uint8 [S, S, 3]: of these held-out figures, each before a held-out background of its own."""
    settings = profile.backgrounds
    denoiser = background_denoiser(Model(profile.models.inpaint), profile.schedulers["backgrounds"])
    figures = [render_seed(EVALUATION_SEED + number) for number in numbers]
    kept = [kept_area(figure.mask, settings.mask_margin) for figure in figures]
    pixels = [_tensor(figure.image) for figure in figures]
    greyed = [(picture * 2 - 1) * torch.from_numpy(area) for picture, area in zip(pixels, kept, strict=True)]
    prompts = [
        settings.prompt_template.format(subject=figure.identity.prompt(), background=background_of(number).prompt())
        for number, figure in zip(numbers, figures, strict=True)
    ]
    guided = settings.guidance_scale > 1
    made = denoiser.denoise(
        seeds=[
            ids.seed_for(
                "held-out", "variations", str(EVALUATION_SEED + number), str(_background_seed(number)), 0, RUN_SEED
            )
            for number in numbers
        ],
        **denoiser.embed(prompts, [settings.negative_prompt] * len(prompts) if guided else None),
        **denoiser.family.background_arguments(
            torch.cat(pixels),
            torch.stack([torch.from_numpy(~area).float()[None] for area in kept]),
            torch.cat([_latents(denoiser, number, picture) for number, picture in zip(numbers, greyed, strict=True)]),
            settings,
        ),
    )
    return [
        paste(figure.image, painted, seam(area, settings.feather))
        for figure, painted, area in zip(figures, pixels_of(made), kept, strict=True)
    ]


def _latents(denoiser: Denoiser, number: int, picture: torch.Tensor) -> torch.Tensor:
    return denoiser.encode(("held-out", number), lambda: picture)


def _tensor(image: np.ndarray) -> torch.Tensor:
    """uint8 [H, W, 3] to float32 [1, 3, H, W] in 0..1."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 255


def _background_seed(number: int) -> int:
    return EVALUATION_SEED + 50_000 + number
