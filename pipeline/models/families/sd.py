"""Stable Diffusion 1.x and what is built like it: one text encoder, a UNet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pipeline.models.families.family import Family
from pipeline.models.parts import from_pretrained, load_controlnet
from pipeline.models.resolve import Model

if TYPE_CHECKING:
    import torch


class StableDiffusion(Family):
    """``StableDiffusionControlNetPipeline`` and ``StableDiffusionInpaintPipeline``.

    Their own safety checker would blacken pictures; :mod:`pipeline.models.safety` judges copies instead.
    """

    OPTIONS: ClassVar[dict[str, Any]] = {"requires_safety_checker": False}
    NONE: ClassVar[dict[str, Any]] = {"safety_checker": None}

    def load_subjects(self, base: Model, controlnet: Model, **parts: Any) -> Any:
        from diffusers import StableDiffusionControlNetPipeline

        parts["controlnet"] = load_controlnet(controlnet)
        return from_pretrained(StableDiffusionControlNetPipeline, base, **self.OPTIONS, **self.NONE, **parts)

    def load_backgrounds(self, inpaint: Model, **parts: Any) -> Any:
        from diffusers import StableDiffusionInpaintPipeline

        return from_pretrained(StableDiffusionInpaintPipeline, inpaint, **self.OPTIONS, **self.NONE, **parts)

    def embed(self, pipe: Any, prompt: str) -> dict[str, torch.Tensor]:
        return {"prompt_embeds": pipe.encode_prompt(prompt, pipe.device, 1, do_classifier_free_guidance=False)[0]}


FAMILY = StableDiffusion()
