"""Trains the inpainting UNet: paints a background around a figure that is given.

Starts from the text-conditioned UNet; the five new input channels (mask, masked latents) start at zero.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from diffusers import AutoencoderKL, StableDiffusionInpaintPipeline, StableDiffusionPipeline, UNet2DConditionModel
from torch import nn
from torch.nn import functional as F

from tinyworld.training.autoencoder import cached_latents, pick
from tinyworld.training.captions import tokenize
from tinyworld.training.clip import image_processor
from tinyworld.training.diffusion import add_noise, noise_schedule, training_captions
from tinyworld.training.loop import Losses, Recipe, fit
from tinyworld.training.renders import Renders
from tinyworld.training.save import save_half

RECIPE = Recipe(steps=2000, batch_size=32, learning_rate=5e-4, warmup=100, decay=0.5, mixed_precision=True)
GREY = 128
"""What the inpainting pipeline puts in place of what is to be repainted."""


def train(out_dir: Path, work_dir: Path, renders: Renders, recipe: Recipe = RECIPE) -> None:
    """Trains and saves a whole inpainting pipeline under ``out_dir``; needs the trained diffusion model there."""
    base = StableDiffusionPipeline.from_pretrained(
        out_dir / "diffusion", dtype=torch.float32, safety_checker=None, requires_safety_checker=False
    )
    vae = AutoencoderKL.from_pretrained(work_dir / "autoencoder")
    scheduler = noise_schedule()
    latents = cached_latents(vae, renders.images, work_dir / "latents", f"images-{renders.first_seed}")
    kept = loosened(renders.masks, work_dir / f"kept-{len(renders)}.npy")
    greyed = np.where(kept[..., None], renders.images, np.uint8(GREY))
    masked = cached_latents(vae, greyed, work_dir / "latents", f"masked-{renders.first_seed}")

    def losses(model: nn.Module, generator: torch.Generator) -> Losses:
        index = pick(renders, recipe.batch_size, generator)
        texts = training_captions(renders.first_seed + index, generator)
        with torch.no_grad():
            text = base.text_encoder(tokenize(base.tokenizer, texts)).last_hidden_state
        noisy, steps, target = add_noise(scheduler, torch.from_numpy(latents[index]), generator)
        unknown = F.interpolate(torch.from_numpy(~kept[index])[:, None].float(), size=noisy.shape[-2:])
        given = torch.cat([noisy, unknown, torch.from_numpy(masked[index])], dim=1)
        return {"noise": F.mse_loss(model(given, steps, encoder_hidden_states=text).sample, target)}

    torch.manual_seed(recipe.seed)
    unet = fit("inpainting", widened(base.unet), losses, recipe, work_dir)
    pipeline = StableDiffusionInpaintPipeline(
        vae=vae,
        text_encoder=base.text_encoder,
        tokenizer=base.tokenizer,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=image_processor(),
        requires_safety_checker=False,
    )
    save_half(pipeline, out_dir / "inpainting")


def widened(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """A copy of the UNet that takes 9 channels: noisy latents, mask, masked latents."""
    wide = UNet2DConditionModel.from_config({**unet.config, "in_channels": 9})
    state = unet.state_dict()
    first = torch.zeros_like(wide.conv_in.weight)
    first[:, :4] = state["conv_in.weight"]
    wide.load_state_dict({**state, "conv_in.weight": first})
    return wide


def loosened(masks: np.ndarray, path: Path) -> np.ndarray:
    """The figures' masks bool [N, 64, 64], each grown or shrunk by up to a pixel: real masks are not exact."""
    if not path.exists():
        rng = np.random.default_rng(0)
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
        change = [lambda m: m, lambda m: cv2.dilate(m, kernel), lambda m: cv2.erode(m, kernel)]
        kinds = rng.choice(3, size=len(masks), p=[0.4, 0.4, 0.2])
        found = np.stack([change[k](m.astype(np.uint8)) > 0 for k, m in zip(kinds, masks, strict=True)])
        np.save(path.with_suffix(".tmp.npy"), found)
        path.with_suffix(".tmp.npy").replace(path)
    return np.load(path, mmap_mode="r+")
