"""Trains the autoencoder: 64 x 64 x 3 pixels to 16 x 16 x 4 latents and back (12 : 1)."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.nn import functional as F

from tinyworld.training.loop import Losses, Recipe, fit
from tinyworld.training.renders import EVALUATION_SEED, Renders, load_renders

logger = logging.getLogger(__name__)

RECIPE = Recipe(steps=4000, batch_size=8, learning_rate=1.5e-3, warmup=100, decay=0.4)
DECODER_RECIPE = Recipe(steps=5000, batch_size=8, learning_rate=1e-3, warmup=100, decay=0.6, mixed_precision=True)
KL_WEIGHT = 1e-5
LATENT_NOISE = 0.1
"""Largest standard deviation of the noise that the decoder learns to forgive, in units of the latents' own."""
MASKED_SHARE = 0.15
"""Of the training images, with everything but the figure greyed out: what the inpainting model gets to see."""


def build() -> AutoencoderKL:
    """A fresh autoencoder with random weights."""
    return AutoencoderKL(
        block_out_channels=(16, 32, 64),
        layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=64,
        mid_block_add_attention=False,
    )


def to_tensor(images: np.ndarray) -> Tensor:
    """uint8 [N, H, W, 3] to float32 [N, 3, H, W] in -1..1."""
    return torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float().div(127.5).sub(1)


def pick(renders: Renders, count: int, generator: torch.Generator) -> np.ndarray:
    """Sorted indices of a random batch (sorted: the arrays are memory-mapped)."""
    return np.sort(torch.randint(len(renders), (count,), generator=generator).numpy())


def train(out_dir: Path, work_dir: Path, renders: Renders, recipe: Recipe = RECIPE) -> AutoencoderKL:
    """Trains, measures the latents' spread and saves to ``out_dir``."""
    held_out = load_renders(work_dir, 256, EVALUATION_SEED)

    def losses(model: nn.Module, generator: torch.Generator) -> Losses:
        index = pick(renders, recipe.batch_size, generator)
        images = to_tensor(renders.images[index])
        greyed = torch.rand(len(index), generator=generator) < MASKED_SHARE
        keep = torch.from_numpy(renders.masks[index])[:, None] | ~greyed[:, None, None, None]
        images = images * keep
        posterior = model.encode(images).latent_dist
        latents = posterior.mean + posterior.std * torch.randn(posterior.mean.shape, generator=generator)
        decoded = model.decode(latents).sample
        return {
            "mse": F.mse_loss(decoded, images),
            "l1": 0.1 * F.l1_loss(decoded, images),
            "kl": KL_WEIGHT * posterior.kl().mean(),
        }

    torch.manual_seed(recipe.seed)
    model = fit("autoencoder", build(), losses, recipe, work_dir, lambda m: f"PSNR {psnr(m, held_out.images):.2f} dB")
    assert isinstance(model, AutoencoderKL)
    latents = encode(model, held_out.images)
    model.register_to_config(scaling_factor=float(1 / latents.std()))
    model.save_pretrained(out_dir)
    return model


def polish(
    out_dir: Path,
    work_dir: Path,
    renders: Renders,
    recipe: Recipe = DECODER_RECIPE,
    start: AutoencoderKL | None = None,
) -> AutoencoderKL:
    """Trains the decoder on, encoder frozen: latents stay what the diffusion models have learned; saves to ``out_dir``.

    Some noise on the latents makes it forgiving of latents that were sampled, not encoded.

    Args:
        start: What to begin with, instead of the work folder's autoencoder.
    """
    held_out = load_renders(work_dir, 256, EVALUATION_SEED)
    name = "decoder" if start is None else "decoder-tuned"
    vae = AutoencoderKL.from_pretrained(work_dir / "autoencoder") if start is None else start
    latents = cached_latents(vae, renders.images, work_dir / "latents", f"images-{renders.first_seed}")
    vae.requires_grad_(False)
    vae.decoder.requires_grad_(True).to(memory_format=torch.channels_last)
    vae.post_quant_conv.requires_grad_(True)

    def losses(model: nn.Module, generator: torch.Generator) -> Losses:
        index = pick(renders, recipe.batch_size, generator)
        images = to_tensor(renders.images[index])
        given = torch.from_numpy(latents[index])
        noise = LATENT_NOISE * torch.rand(len(index), 1, 1, 1, generator=generator)
        given = given + noise * torch.randn(given.shape, generator=generator)
        decoded = model.decode(given / model.config.scaling_factor).sample
        return {"mse": F.mse_loss(decoded, images), "l1": 0.1 * F.l1_loss(decoded, images)}

    model = fit(name, vae, losses, recipe, work_dir, lambda m: f"PSNR {psnr(m, held_out.images):.2f} dB")
    assert isinstance(model, AutoencoderKL)
    model.save_pretrained(out_dir)
    return model


def cached_latents(vae: AutoencoderKL, images: np.ndarray, folder: Path, name: str) -> np.ndarray:
    """Scaled latents float32 [N, 4, 16, 16] of all images, made once for this encoder."""
    path = folder / f"{name}-{len(images)}-{digest_of(vae.encoder, vae.quant_conv)}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        logger.info("encoding %d images", len(images))
        found = encode(vae, images) * vae.config.scaling_factor
        np.save(path.with_suffix(".tmp.npy"), found.numpy())
        path.with_suffix(".tmp.npy").replace(path)
    return np.load(path, mmap_mode="r+")


def cached_decodings(vae: AutoencoderKL, renders: Renders, folder: Path) -> np.ndarray:
    """The renders as the diffusion models would show them at best, uint8 [N, 64, 64, 3], made once.

    Through the autoencoder, with some noise on the latents: what looks at generated pictures has to know its softness.
    """
    latents = cached_latents(vae, renders.images, folder, f"images-{renders.first_seed}")
    path = folder / f"decoded-{renders.first_seed}-{len(renders)}-{digest_of(vae.decoder, vae.post_quant_conv)}.npy"
    if not path.exists():
        logger.info("decoding %d images", len(renders))
        generator = torch.Generator().manual_seed(0)
        parts = []
        for start in range(0, len(renders), 64):
            given = torch.from_numpy(latents[start : start + 64])
            noise = LATENT_NOISE * torch.rand(len(given), 1, 1, 1, generator=generator)
            parts.append(decode(vae, given + noise * torch.randn(given.shape, generator=generator)))
        np.save(path.with_suffix(".tmp.npy"), np.concatenate(parts))
        path.with_suffix(".tmp.npy").replace(path)
    return np.load(path, mmap_mode="r")


def digest_of(*modules: nn.Module) -> str:
    """Twelve hex digits that change with the weights."""
    parameters = [p for module in modules for p in module.parameters()]
    return hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in parameters)).hexdigest()[:12]


@torch.no_grad()
def decode(model: AutoencoderKL, latents: Tensor) -> np.ndarray:
    """Pictures uint8 [N, 64, 64, 3] of scaled latents [N, 4, 16, 16]."""
    images = model.decode(latents / model.config.scaling_factor).sample.clamp(-1, 1)
    return ((images + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()


@torch.no_grad()
def encode(model: AutoencoderKL, images: np.ndarray, batch: int = 64) -> Tensor:
    """Mean latents [N, 4, 16, 16], not yet scaled."""
    parts = [model.encode(to_tensor(images[i : i + batch])).latent_dist.mean for i in range(0, len(images), batch)]
    return torch.cat(parts)


def round_trip(model: AutoencoderKL, images: np.ndarray) -> np.ndarray:
    """Pictures uint8 [N, 64, 64, 3] as the autoencoder gives them back."""
    return decode(model, encode(model, images) * model.config.scaling_factor)


@torch.no_grad()
def psnr(model: AutoencoderKL, images: np.ndarray) -> float:
    """Mean over the images of their peak signal-to-noise ratio after a round trip, dB."""
    values = []
    for i in range(0, len(images), 64):
        truth = to_tensor(images[i : i + 64])
        out = model.decode(model.encode(truth).latent_dist.mode()).sample.clamp(-1, 1)
        values.append(10 * torch.log10(4 / (out - truth).pow(2).mean(dim=(1, 2, 3))))
    return float(torch.cat(values).mean())
