"""Stable Diffusion XL: two text encoders, the second one's pooled embedding, and picture sizes as a condition.

The pipelines make the time ids themselves, from the pictures' height and width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pipeline.models.families.family import Family
from pipeline.models.parts import from_pretrained, load_controlnet
from pipeline.models.resolve import Model

if TYPE_CHECKING:
    import torch


class StableDiffusionXL(Family):
    """``StableDiffusionXLControlNetPipeline`` and ``StableDiffusionXLInpaintPipeline``."""

    TOKENIZERS: ClassVar[tuple[str, ...]] = ("tokenizer", "tokenizer_2")
    OPTIONS: ClassVar[dict[str, Any]] = {"add_watermarker": False}

    def load_subjects(self, base: Model, controlnet: Model, **parts: Any) -> Any:
        from diffusers import StableDiffusionXLControlNetPipeline

        parts["controlnet"] = load_controlnet(controlnet)
        return from_pretrained(StableDiffusionXLControlNetPipeline, base, **self.OPTIONS, **parts)

    def load_backgrounds(self, inpaint: Model, **parts: Any) -> Any:
        from diffusers import StableDiffusionXLInpaintPipeline

        return from_pretrained(StableDiffusionXLInpaintPipeline, inpaint, **self.OPTIONS, **parts)

    def embed(self, pipe: Any, prompt: str) -> dict[str, torch.Tensor]:
        found = pipe.encode_prompt(
            prompt, device=pipe.device, num_images_per_prompt=1, do_classifier_free_guidance=False
        )
        return {"prompt_embeds": found[0], "pooled_prompt_embeds": found[2]}


FAMILY = StableDiffusionXL()
