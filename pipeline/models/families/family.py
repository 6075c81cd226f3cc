"""What differs between families of diffusion models: the part of :mod:`pipeline.models.diffusion` that a family says.

This class is what the families share; each is a subclass in a file of its own, whose name is its ``kind``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pipeline.config import BackgroundSettings, SubjectSettings
from pipeline.models.resolve import Model

if TYPE_CHECKING:
    import torch


class Family(ABC):
    """One family.

    Attributes:
        TOKENIZERS: Folders of the tokenizers in a pipeline's folder; every prompt must fit into each.
        OPTIONS: What the pipelines' constructors want besides their parts.
    """

    TOKENIZERS: ClassVar[tuple[str, ...]] = ("tokenizer",)
    OPTIONS: ClassVar[dict[str, Any]] = {}

    @abstractmethod
    def load_subjects(self, base: Model, controlnet: Model, **parts: Any) -> Any:
        """The pipeline that makes pictures from prompts and a control picture; ``parts`` replace the repo's own."""

    @abstractmethod
    def load_backgrounds(self, inpaint: Model, **parts: Any) -> Any:
        """The pipeline that repaints what is masked."""

    @abstractmethod
    def embed(self, pipe: Any, prompt: str) -> dict[str, torch.Tensor]:
        """What stands for one prompt, each ``[1, ...]``, by the names of the pipeline's arguments."""

    def conditions(
        self, prompts: Sequence[dict[str, torch.Tensor]], negatives: Sequence[dict[str, torch.Tensor]] | None
    ) -> dict[str, Any]:
        """The pipeline's arguments for a batch of embedded prompts; ``negatives`` only where there is guidance."""
        import torch

        stacked = {name: torch.cat([one[name] for one in prompts]) for name in prompts[0]}
        if negatives is not None:
            stacked |= {f"negative_{name}": torch.cat([one[name] for one in negatives]) for name in negatives[0]}
        return stacked

    def subject_arguments(self, control: torch.Tensor, settings: SubjectSettings) -> dict[str, Any]:
        """The first pipeline's other arguments; ``control``: ``[1, 3, H, W]`` in 0..1."""
        return {
            "image": control,
            "num_inference_steps": settings.num_inference_steps,
            "guidance_scale": settings.guidance_scale,
            "controlnet_conditioning_scale": settings.controlnet_conditioning_scale,
        }

    def background_arguments(
        self, pixels: torch.Tensor, repaint: torch.Tensor, latents: torch.Tensor, settings: BackgroundSettings
    ) -> dict[str, Any]:
        """The second pipeline's other arguments.

        Args:
            pixels: ``[B, 3, H, W]`` in 0..1, the subjects' pictures.
            repaint: ``[B, 1, H, W]``, 1 where to paint.
            latents: ``[B, C, h, w]`` of the pictures with what is to be repainted in grey.
            settings: Of the inpainting.
        """
        return {
            "image": pixels,
            "mask_image": repaint,
            "masked_image_latents": latents,
            "height": pixels.shape[2],
            "width": pixels.shape[3],
            "strength": 1.0,
            "num_inference_steps": settings.num_inference_steps,
            "guidance_scale": settings.guidance_scale,
        }

    def to_latents(self, vae: Any, encoded: torch.Tensor) -> torch.Tensor:
        """Latents as the denoiser wants them, of the autoencoder's."""
        shift = getattr(vae.config, "shift_factor", None)
        return (encoded - shift if shift else encoded) * vae.config.scaling_factor

    def from_latents(self, vae: Any, latents: torch.Tensor) -> torch.Tensor:
        """Latents as the autoencoder decodes them."""
        shift = getattr(vae.config, "shift_factor", None)
        plain = latents / vae.config.scaling_factor
        return plain + shift if shift else plain
