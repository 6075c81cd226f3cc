"""What the frozen diffusion model's parts make of a training row: latents and prompt features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.models.device import device, dtype_of, quieten
from pipeline.models.resolve import Model

if TYPE_CHECKING:
    import torch
    from PIL import Image


@dataclass(frozen=True)
class Diffusion:
    """The frozen parts of a Stable Diffusion repo.

    Attributes:
        scheduler: The repo's own, i.e. the noise schedule that the UNet was trained with.
    """

    vae: Any
    text_encoder: Any
    tokenizer: Any
    unet: Any
    scheduler: Any

    def latents(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """Scaled latents ``[N, C, h, w]`` of pictures of the VAE's size; no samples but the mode, to be kept."""
        import torch
        from diffusers.image_processor import VaeImageProcessor

        pixels = VaeImageProcessor(do_resize=False).preprocess(list(images)).to(self.vae.device, self.vae.dtype)
        with torch.no_grad():
            return self.vae.encode(pixels).latent_dist.mode() * self.vae.config.scaling_factor

    def prompt_features(self, prompts: Sequence[str]) -> torch.Tensor:
        """The text encoder's output at each prompt's end, ``[N, D]``: what the whole prompt says."""
        from spotdiff_model.placeholder import at_end

        ids = self._ids(prompts)
        return at_end(self._states(ids), ids, self.tokenizer.eos_token_id)

    def prompt_states(self, prompts: Sequence[str]) -> torch.Tensor:
        """The text encoder's hidden states ``[N, T, D]``, as the UNet is given them."""
        return self._states(self._ids(prompts))

    def _states(self, ids: torch.Tensor) -> torch.Tensor:
        import torch

        with torch.no_grad():
            states: torch.Tensor = self.text_encoder(ids).last_hidden_state
        return states

    def _ids(self, prompts: Sequence[str]) -> torch.Tensor:
        tokens = self.tokenizer(
            list(prompts), padding="max_length", max_length=self.tokenizer.model_max_length, truncation=True,
            return_tensors="pt",
        )  # fmt: skip
        ids: torch.Tensor = tokens.input_ids.to(self.text_encoder.device)
        return ids


def load_diffusion(model: Model) -> Diffusion:
    """The parts of a repo, frozen. Not resident: a training may put a LoRA on the UNet."""
    from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    quieten()
    folder = model.pipeline_dir()
    loading = {"dtype": dtype_of(model.ref), "variant": model.ref.variant}
    networks = [
        kind.from_pretrained(folder, subfolder=name, **loading).to(device()).eval().requires_grad_(False)
        for name, kind in (("vae", AutoencoderKL), ("text_encoder", CLIPTextModel), ("unet", UNet2DConditionModel))
    ]
    vae, text_encoder, unet = networks
    tokenizer = CLIPTokenizer.from_pretrained(folder, subfolder="tokenizer")
    scheduler = DDPMScheduler.from_pretrained(folder, subfolder="scheduler")
    return Diffusion(vae, text_encoder, tokenizer, unet, scheduler)


def as_numpy(features: torch.Tensor) -> np.ndarray:
    """Features in the half precision that they are kept in."""
    kept: np.ndarray = features.float().cpu().numpy().astype(np.float16)
    return kept
