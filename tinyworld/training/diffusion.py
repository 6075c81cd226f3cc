"""Trains the text-conditioned UNet and its ControlNet together on the frozen autoencoder's latents.

Velocity prediction and a noise schedule that ends in pure noise (zero terminal SNR, Lin et al. 2024): with 16 x 16
latents the usual schedule leaves the picture's mean colour readable at the last step, and sampled colours then ignore
the text.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from diffusers import AutoencoderKL, ControlNetModel, DDPMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPTextModel, CLIPTokenizer

from pipeline.imaging import openpose18
from pipeline.imaging.skeleton import draw_pose
from tinyworld.training.autoencoder import cached_latents, pick
from tinyworld.training.captions import caption, pointed, tokenize
from tinyworld.training.clip import WIDTH, image_processor, trained_text
from tinyworld.training.loop import Losses, Recipe, fit
from tinyworld.training.renders import Renders, scene_of
from tinyworld.training.save import save_half
from tinyworld.world.render import Scene

logger = logging.getLogger(__name__)

RECIPE = Recipe(steps=11_000, batch_size=32, learning_rate=8e-4, warmup=200, decay=0.3, mixed_precision=True)
TUNING = Recipe(steps=4000, batch_size=32, learning_rate=4e-4, warmup=100, decay=0.6, mixed_precision=True)
"""For models that begin with the shipped weights."""
LINE_WIDTH = 0.03
"""Of the control image, as in profiles/tiny.toml."""
GROWTH = Recipe(steps=2800, batch_size=32, learning_rate=5e-4, warmup=100, decay=0.7, mixed_precision=True)
"""For a generator that begins with the shipped weights and is made larger first."""
NO_CAPTION, POINTED = 0.1, 0.15
"""Shares of the samples trained without caption (for guidance) and with one that is about a single attribute."""
NO_CONTROL, STUDIO = 0.6, 0.2
"""Shares of the batches without control, and with control before the studio's walls; the rest has control anywhere."""
FIGURE, HEAD = 2.0, 5.0
"""Weight of the figure and of its head in the loss; elsewhere 1. Left and right hang on a face of a few pixels."""
HEAD_REACH = 0.9
"""How far from the head's middle the head's weight reaches, in lengths from neck to nose.

Of the pixels that a hat changes, 86 % lie within (251 renders of held-out scenes).
"""
CROWDING = 0.5
"""How much time steps crowd around the middle of the schedule (0: not at all, 1: all of them).

At its ends there is little to learn: on 16 x 16 latents, much noise leaves no more than a mean colour, little noise
hides nothing. In the middle it is settled where limbs go and what is worn.
"""


def noise_schedule() -> DDPMScheduler:
    """The schedule that all diffusion models of the tiny profile share."""
    return DDPMScheduler(
        num_train_timesteps=1000,
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        steps_offset=1,
    )


def build_unet(in_channels: int = 4) -> UNet2DConditionModel:
    """A fresh UNet on 16 x 16 latents.

    Text enters at 8 x 8 and 4 x 4 on the way down and at all sizes on the way up. Attention at 16 x 16 is dear, so it
    stands only where a head's three latents are painted.
    """
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=in_channels,
        out_channels=4,
        block_out_channels=(64, 128, 128),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D",) * 3,
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
        norm_num_groups=16,
    )


def build_controlnet(unet: UNet2DConditionModel) -> ControlNetModel:
    """A ControlNet for this UNet. Its zero convolutions start small instead of at zero: it is trained from scratch."""
    controlnet = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(16, 32, 64))
    closed = [controlnet.controlnet_cond_embedding.conv_out, controlnet.controlnet_mid_block]
    for convolution in [*closed, *controlnet.controlnet_down_blocks]:
        nn.init.normal_(convolution.weight, std=0.02)
    return controlnet


class ControlledUNet(nn.Module):
    """UNet and ControlNet as one module to train."""

    def __init__(self, unet: UNet2DConditionModel, controlnet: ControlNetModel) -> None:
        super().__init__()
        for trained in (unet, controlnet):
            # on a CPU, the backward pass of fused attention takes a third of a whole step in bfloat16
            trained.set_attn_processor(AttnProcessor())
        self.unet, self.controlnet = unet, controlnet

    def forward(self, noisy: Tensor, steps: Tensor, text: Tensor, control: Tensor | None) -> Tensor:
        """The velocity [N, 4, 16, 16] of noisy [N, 4, 16, 16] at steps [N].

        text: [N, CONTEXT, WIDTH]. control: [N, 3, 64, 64] in 0..1.
        """
        down, middle = None, None
        if control is not None:
            down, middle = self.controlnet(noisy, steps, text, control, return_dict=False)
        return self.unet(
            noisy,
            steps,
            encoder_hidden_states=text,
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
        ).sample


class Parts(NamedTuple):
    """What training starts with: frozen autoencoder and text encoder, and the models to train."""

    vae: AutoencoderKL
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer
    generator: ControlledUNet


def fresh(work_dir: Path) -> Parts:
    """What was trained in the work folder so far, and a generator with random weights."""
    clip, tokenizer, _ = trained_text(work_dir)
    unet = build_unet()
    vae = AutoencoderKL.from_pretrained(work_dir / "autoencoder")
    return Parts(vae, text_encoder(clip), tokenizer, ControlledUNet(unet, build_controlnet(unet)))


def shipped(folder: Path) -> Parts:
    """The parts of a weights folder, in float32."""
    pipe = StableDiffusionPipeline.from_pretrained(
        folder / "diffusion", dtype=torch.float32, safety_checker=None, requires_safety_checker=False
    )
    controlnet = ControlNetModel.from_pretrained(folder / "controlnet", dtype=torch.float32)
    return Parts(pipe.vae, pipe.text_encoder, pipe.tokenizer, ControlledUNet(pipe.unet, controlnet))


def train(
    out_dir: Path,
    work_dir: Path,
    renders: Renders,
    scenic: Renders,
    recipe: Recipe = RECIPE,
    start: Path | None = None,
    grow: bool = False,
) -> None:
    """Trains both; saves a Stable-Diffusion-style pipeline and the ControlNet under ``out_dir``.

    Args:
        renders: Of the studio, for batches with control: subjects are generated before plain walls.
        scenic: For batches without control, and for some with it: everything else is generated anywhere.
        start: Weights folder to begin with, instead of the work folder's parts and random weights.
        grow: Whether to give the UNet today's size first, if that of ``start`` is smaller.
    """
    torch.manual_seed(recipe.seed)
    vae, text, tokenizer, begun = fresh(work_dir) if start is None else shipped(start)
    if grow:
        from tinyworld.training.growth import grown

        begun.unet = grown(begun.unet)
    scheduler = noise_schedule()
    latents = {
        shots.first_seed: cached_latents(vae, shots.images, work_dir / "latents", f"images-{shots.first_seed}")
        for shots in (renders, scenic)
    }
    controls = {
        shots.first_seed: cached_controls(shots, work_dir / f"controls-{shots.first_seed}-{len(shots)}.npy")
        for shots in (renders, scenic)
    }

    def losses(model: nn.Module, generator: torch.Generator) -> Losses:
        kind = torch.rand((), generator=generator).item()
        blind, shots = kind < NO_CONTROL, renders if kind > 1 - STUDIO else scenic
        index = pick(shots, recipe.batch_size, generator)
        texts = training_captions(shots.first_seed + index, generator)
        with torch.no_grad():
            states = text(tokenize(tokenizer, texts)).last_hidden_state
        noisy, steps, target = add_noise(
            scheduler, torch.from_numpy(latents[shots.first_seed][index]), generator, CROWDING
        )
        drawn = torch.from_numpy(controls[shots.first_seed][index])
        control = None if blind else drawn.permute(0, 3, 1, 2).float() / 255
        weights = loss_weights(shots.masks[index], shots.keypoints[index])
        error = F.mse_loss(model(noisy, steps, states, control).float(), target, reduction="none")
        return {"noise": (weights[:, None] * error).mean()}

    name = "diffusion-grown" if grow else "diffusion" if start is None else "diffusion-tuned"
    model = fit(name, begun, losses, recipe, work_dir)
    assert isinstance(model, ControlledUNet)
    save_half(model.controlnet, out_dir / "controlnet")
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text,
        tokenizer=tokenizer,
        unet=model.unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=image_processor(),
        requires_safety_checker=False,
    )
    save_half(pipeline, out_dir / "diffusion")


def loss_weights(masks: np.ndarray, keypoints: np.ndarray) -> Tensor:
    """What each latent counts, mean 1 for each picture.

    Args:
        masks: bool [N, 64, 64], the figures.
        keypoints: [N, 18, 3].

    Returns:
        [N, 16, 16].
    """
    covered = torch.from_numpy(masks.astype(np.float32)).unflatten(1, (16, 4)).unflatten(3, (16, 4)).mean(dim=(2, 4))
    axis = (np.arange(16) + 0.5) / 16
    places = np.stack(np.meshgrid(axis, axis, indexing="xy"), axis=-1)
    face, neck = keypoints[:, list(openpose18.HEAD)], keypoints[:, openpose18.NECK]
    there = face[..., 2:] > 0
    middle = (face[..., :2] * there).sum(axis=1) / there.sum(axis=1).clip(1)
    reach = HEAD_REACH * np.linalg.norm(middle - neck[:, :2], axis=1) + 1 / 32
    near = np.linalg.norm(places - middle[:, None, None], axis=-1) < reach[:, None, None]
    near &= (there.any(axis=1) & (neck[:, 2:] > 0))[..., None]
    weights = 1 + (FIGURE - 1) * covered + (HEAD - FIGURE) * torch.from_numpy(near)
    return weights / weights.mean(dim=(1, 2), keepdim=True)


def text_encoder(clip) -> CLIPTextModel:  # type: ignore[no-untyped-def]
    """The CLIP's text encoder as the stand-alone class that diffusion pipelines carry."""
    encoder = CLIPTextModel(clip.config.text_config)
    wanted = set(encoder.state_dict())
    state = clip.text_model.state_dict()
    prefixed = {f"text_model.{name}": value for name, value in state.items()}
    encoder.load_state_dict(prefixed if wanted & set(prefixed) else state)
    return encoder


def training_captions(seeds: np.ndarray, generator: torch.Generator) -> list[str]:
    """Captions of these scenes, some with attributes dropped, some about a single one, some empty."""

    def told(scene: Scene, luck: float) -> str:
        if luck < NO_CAPTION:
            return ""
        return pointed(scene, generator) if luck < NO_CAPTION + POINTED else caption(scene, generator)[0]

    lucks = torch.rand(len(seeds), generator=generator).tolist()
    return [told(scene_of(int(seed)), luck) for seed, luck in zip(seeds, lucks, strict=True)]


def add_noise(
    scheduler: DDPMScheduler, latents: Tensor, generator: torch.Generator, crowding: float = 0.0
) -> tuple[Tensor, Tensor, Tensor]:
    """Noisy latents [N, 4, 16, 16], their time steps [N] and the velocity to predict.

    Args:
        crowding: 0: time steps are spread evenly; up to 1: the more of them are near the middle.
    """
    noise = torch.randn(latents.shape, generator=generator)
    # stratified: one time step from each of N equal parts of the schedule, which halves the loss's noise
    spread = (torch.arange(len(latents)) + torch.rand(len(latents), generator=generator)) / len(latents)
    spread = spread + crowding * torch.sin(2 * torch.pi * spread) / (2 * torch.pi)
    steps = (spread * scheduler.config.num_train_timesteps).long()
    noisy = scheduler.add_noise(latents, noise, steps)
    return noisy, steps, scheduler.get_velocity(latents, noise, steps)


def cached_controls(renders: Renders, path: Path) -> np.ndarray:
    """Control images uint8 [N, 64, 64, 3] of all scenes, made once."""
    if not path.exists():
        logger.info("drawing %d control images", len(renders))
        drawn = np.stack([np.asarray(draw_pose(k, 64, LINE_WIDTH)) for k in renders.keypoints])
        np.save(path.with_suffix(".tmp.npy"), drawn)
        path.with_suffix(".tmp.npy").replace(path)
    return np.load(path, mmap_mode="r+")
