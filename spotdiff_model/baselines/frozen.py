"""What all baselines stand on: the generator and CLIP of the manifest's profile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from pipeline.config import UserError
from pipeline.models.clip import Clip, clip
from pipeline.models.resolve import Model
from spotdiff_model.config import BaseModels, Sampling
from spotdiff_model.denoiser import Denoiser
from spotdiff_model.hub import Diffusion, load_diffusion


@dataclass(frozen=True)
class Looked:
    """What CLIP sees in N pictures.

    Attributes:
        states: All hidden states ``[N, 1 + P, C]``, the embeddings first.
        embedding: Pooled and projected ``[N, E]``.
    """

    states: tuple[Tensor, ...]
    embedding: Tensor


@dataclass(frozen=True, eq=False)
class Frozen:
    """Loaded for one baseline, which may change the UNet; CLIP is shared.

    Attributes:
        diffusion: Text encoder, UNet, autoencoder, and the schedule of the training.
        denoiser: The same, as a generator.
    """

    diffusion: Diffusion
    denoiser: Denoiser
    clip: Clip

    @classmethod
    def load(cls, models: BaseModels, sampling: Sampling, models_root: str | None) -> Frozen:
        """The models of a profile.

        Raises:
            UserError: One is not to be had.
        """
        diffusion = load_diffusion(Model(models.base, models_root))
        if len(diffusion.text.encoders) > 1:
            raise UserError(f"model {models.base.repo}: baselines stand on Stable Diffusion 1.x, with one text encoder")
        denoiser = Denoiser.around(diffusion, models, sampling, models_root)
        return cls(diffusion, denoiser, clip(Model(models.clip, models_root)))

    @property
    def device(self) -> torch.device:
        """Where everything is computed."""
        found: torch.device = self.diffusion.unet.device
        return found

    @property
    def clip_width(self) -> int:
        """Of CLIP's hidden states."""
        return int(self.clip.model.config.vision_config.hidden_size)

    @property
    def clip_grid(self) -> int:
        """Patches along a side."""
        vision = self.clip.model.config.vision_config
        return int(vision.image_size // vision.patch_size)

    @property
    def text_width(self) -> int:
        """Of the text encoder's embeddings and states, and so of the UNet's cross-attention."""
        return int(self.diffusion.text.encoders[0].config.hidden_size)

    def look(self, images: Sequence[Image.Image]) -> Looked:
        """CLIP's view of RGB pictures; without gradients."""
        model = self.clip.model
        pixels = self.clip.processor(list(images), return_tensors="pt").pixel_values.to(model.device, model.dtype)
        with torch.no_grad():
            out = model.vision_model(pixel_values=pixels, output_hidden_states=True)
            embedding = model.visual_projection(out.pooler_output)
        return Looked(tuple(state.float() for state in out.hidden_states), embedding.float())

    def vocabulary(self) -> Tensor:
        """The text encoder's token embeddings ``[V, W]``."""
        weight: Tensor = self.diffusion.text.encoders[0].get_input_embeddings().weight
        return weight.detach().float()

    def word(self, text: str) -> Tensor:
        """The token embedding ``[W]`` of a word (the mean of its pieces)."""
        ids = self.diffusion.text.tokenizer(text, add_special_tokens=False).input_ids
        return self.vocabulary()[ids].mean(dim=0)

    def wanted(self, latents: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """What the UNet is to predict, by the schedule's kind."""
        scheduler: Any = self.diffusion.scheduler
        kinds = {"epsilon": noise, "sample": latents}
        found: Tensor | None = kinds.get(scheduler.config.prediction_type)
        return scheduler.get_velocity(latents, noise, times) if found is None else found
