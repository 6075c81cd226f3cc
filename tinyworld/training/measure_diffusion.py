"""Measures the generating models on held-out scenes, with the prompts, seeds and batches that a build gives them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np
import torch

from pipeline import ids
from pipeline.config import Profile
from pipeline.imaging.openpose18 import MIRRORED
from pipeline.imaging.paste import kept_area, paste, seam
from pipeline.imaging.skeleton import draw_pose
from pipeline.models.diffusion import Denoiser, background_denoiser, pixels_of, subject_denoiser
from pipeline.models.resolve import Model
from pipeline.tiny.pose_net import load_body
from tinyworld.judges.backgrounds import BackgroundJudge
from tinyworld.judges.colors import bottom_color, shirt_color
from tinyworld.training.measure import score_pose
from tinyworld.training.renders import EVALUATION_SEED, Renders
from tinyworld.world import Identity, render_seed, sample_scene

IDENTITIES = 8
"""Different identities generated in each held-out pose."""
RUN_SEED = 0
"""Of the build whose pictures these could be; each picture is a first attempt of it."""

_Item = TypeVar("_Item")


def score_subjects(profile: Profile, poses: int) -> dict[str, float]:
    """Generates held-out identities in held-out poses.

    Returns:
        keypoints_right: share of the asked keypoints that the pose network finds again within 0.05 of the side.
        shirt_color, bottom_color: share that is right, by pixels at the joints.
    """
    made: list[np.ndarray] = []
    asked: list[np.ndarray] = []
    for pose_number in range(poses):
        numbers = range(pose_number * IDENTITIES, (pose_number + 1) * IDENTITIES)
        for batch in _batches(numbers, profile.subjects.batch_size):
            made += list(subject_images(profile, EVALUATION_SEED + pose_number, batch))
        asked += [render_seed(EVALUATION_SEED + pose_number).keypoints] * IDENTITIES
    images, keypoints = np.stack(made), np.stack(asked)
    wearing = [_identity(number) for number in range(poses * IDENTITIES)]
    figures = zip(images, keypoints, wearing, strict=True)
    body = load_body(Model(profile.models.pose).folder(), MIRRORED)
    return {
        "keypoints_right": score_pose(body, images, keypoints)["keypoints_right"],
        **_colors_right(figures),
    }


def score_backgrounds(profile: Profile, judge: BackgroundJudge, figures: int) -> dict[str, float]:
    """Paints held-out backgrounds around held-out figures; returns the share whose kind is right."""
    made: list[np.ndarray] = []
    for batch in _batches(range(figures), profile.backgrounds.batch_size):
        made += variation_images(profile, batch)
    masks = np.stack([render_seed(EVALUATION_SEED + number).mask for number in range(figures)])
    kinds = np.array([sample_scene(_background_seed(number)).background.kind for number in range(figures)])
    return {"background_kind": float(np.mean(judge.kinds(np.stack(made), masks) == kinds))}


def ceilings(renders: Renders, judge: BackgroundJudge) -> dict[str, float]:
    """The same pixel judges on real renders: what they would say of perfect pictures."""
    scenes = [sample_scene(renders.first_seed + number) for number in range(len(renders))]
    figures = zip(renders.images, renders.keypoints, [scene.identity for scene in scenes], strict=True)
    kinds = np.array([scene.background.kind for scene in scenes])
    return {
        **_colors_right(figures),
        "background_kind": float(np.mean(judge.kinds(renders.images, renders.masks) == kinds)),
    }


def subject_images(profile: Profile, pose_seed: int, numbers: Sequence[int]) -> np.ndarray:
    """Pictures uint8 [B, S, S, 3] of these identities, all in the pose of one scene."""
    settings, models = profile.subjects, profile.models
    denoiser = subject_denoiser(Model(models.base), Model(models.controlnet), profile.scheduler)
    control = draw_pose(render_seed(pose_seed).keypoints, profile.sources.size, profile.poses.line_width)
    prompts = [settings.prompt_template.format(subject=_identity(number).prompt()) for number in numbers]
    guided = settings.guidance_scale > 1
    made = denoiser.denoise(
        seeds=[ids.seed_for(f"{pose_seed:016x}", "subjects", str(number), "", 0, RUN_SEED) for number in numbers],
        image=_tensor(np.asarray(control)),
        prompt_embeds=denoiser.embed(prompts),
        negative_prompt_embeds=denoiser.embed([settings.negative_prompt] * len(prompts)) if guided else None,
        num_inference_steps=settings.num_inference_steps,
        guidance_scale=settings.guidance_scale,
        controlnet_conditioning_scale=settings.controlnet_conditioning_scale,
    )
    return np.asarray(pixels_of(made))


def variation_images(profile: Profile, numbers: Sequence[int]) -> list[np.ndarray]:
    """Pictures uint8 [S, S, 3]: of these held-out figures, each before a held-out background of its own."""
    settings = profile.backgrounds
    denoiser = background_denoiser(Model(profile.models.inpaint), profile.scheduler)
    figures = [render_seed(EVALUATION_SEED + number) for number in numbers]
    kept = [kept_area(figure.mask, settings.mask_margin) for figure in figures]
    pixels = [_tensor(figure.image) for figure in figures]
    greyed = [(picture * 2 - 1) * torch.from_numpy(area) for picture, area in zip(pixels, kept, strict=True)]
    prompts = [
        settings.prompt_template.format(
            subject=figure.identity.prompt(), background=sample_scene(_background_seed(number)).background.prompt()
        )
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
        image=torch.cat(pixels),
        mask_image=torch.stack([torch.from_numpy(~area).float()[None] for area in kept]),
        masked_image_latents=torch.cat(
            [_latents(denoiser, number, picture) for number, picture in zip(numbers, greyed, strict=True)]
        ),
        height=kept[0].shape[0],
        width=kept[0].shape[1],
        strength=1.0,
        prompt_embeds=denoiser.embed(prompts),
        negative_prompt_embeds=denoiser.embed([settings.negative_prompt] * len(prompts)) if guided else None,
        num_inference_steps=settings.num_inference_steps,
        guidance_scale=settings.guidance_scale,
    )
    return [
        paste(figure.image, painted, seam(area, settings.feather))
        for figure, painted, area in zip(figures, pixels_of(made), kept, strict=True)
    ]


def _latents(denoiser: Denoiser, number: int, picture: torch.Tensor) -> torch.Tensor:
    return denoiser.encode(("held-out", number), lambda: picture)


def _batches(items: Sequence[_Item], size: int) -> list[Sequence[_Item]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def _identity(number: int) -> Identity:
    return sample_scene(EVALUATION_SEED + 100_000 + number).identity


def _background_seed(number: int) -> int:
    return EVALUATION_SEED + 50_000 + number


def _tensor(image: np.ndarray) -> torch.Tensor:
    """uint8 [H, W, 3] to float32 [1, 3, H, W] in 0..1."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 255


def _colors_right(figures: Iterable[tuple[np.ndarray, np.ndarray, Identity]]) -> dict[str, float]:
    """Share of the pictures (with keypoints and who is asked for) that show the right colours, by pixels."""
    found = [(shirt_color(image, pose), bottom_color(image, pose), who) for image, pose, who in figures]
    return {
        "shirt_color": _share_right([(shirt, who.shirt_color) for shirt, _, who in found]),
        "bottom_color": _share_right([(bottom, who.bottom_color) for _, bottom, who in found]),
    }


def _share_right(pairs: Sequence[tuple[str | None, str]]) -> float:
    visible = [found == asked for found, asked in pairs if found is not None]
    return float(np.mean(visible))
