"""The frozen generator by itself: diffusers' own pipelines, from prompts or prompt embeddings to pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self

from pipeline.config import Profile
from pipeline.models.resolve import Model
from spotdiff_model.config import BaseModels, Sampling, base_models, sampling

if TYPE_CHECKING:
    from PIL import Image

    from spotdiff_model.hub import Diffusion


@dataclass(frozen=True, eq=False)
class Denoiser:
    """Text encoder, UNet, autoencoder and, for given poses, a ControlNet, sampled as a profile says.

    Attributes:
        scheduler: The sampler, not the schedule of the training.
        text_encoder_2, tokenizer_2: SDXL's; None for Stable Diffusion 1.x.
        controlnet: None: poses cannot be asked for.
    """

    vae: Any
    text_encoder: Any
    tokenizer: Any
    unet: Any
    scheduler: Any
    controlnet: Any
    sampling: Sampling
    text_encoder_2: Any = None
    tokenizer_2: Any = None

    @classmethod
    def load(cls, profile: Profile, models_root: str | None) -> Self:
        """A profile's generator.

        Raises:
            UserError: A model is not to be had.
        """
        from spotdiff_model.hub import load_diffusion

        models = base_models(profile)
        vae = Model(models.vae, models_root) if models.vae else None
        loaded = load_diffusion(Model(models.base, models_root), vae)
        return cls.around(loaded, models, sampling(profile), models_root)

    @classmethod
    def around(cls, diffusion: Diffusion, models: BaseModels, sampling: Sampling, models_root: str | None) -> Self:
        """A loaded Stable Diffusion, with the ControlNet that goes with it."""
        from pipeline.models.diffusion import make_scheduler

        return cls(
            vae=diffusion.vae,
            text_encoder=diffusion.text.encoders[0],
            tokenizer=diffusion.text.tokenizers[0],
            unet=diffusion.unet,
            scheduler=make_scheduler(sampling.scheduler, diffusion.scheduler.config),
            controlnet=_controlnet(models, models_root, diffusion.unet.device),
            sampling=sampling,
            text_encoder_2=(*diffusion.text.encoders, None)[1],
            tokenizer_2=(*diffusion.text.tokenizers, None)[1],
        )

    def components(self) -> dict[str, Any]:
        """The parts by the names that diffusers' pipelines have for them."""
        return {part.name: getattr(self, part.name) for part in fields(self) if part.name != "sampling"}

    def __call__(
        self, *, pose: Sequence[Image.Image] = (), guidance_scale: float | None = None, **arguments: Any
    ) -> list[Image.Image]:
        """Pictures.

        Args:
            pose: Control pictures, one each; none: the pose is left to the model.
            guidance_scale: Default: as the profile says.
            arguments: Of diffusers' pipeline: ``prompt`` or ``prompt_embeds``, ``generator`` ...

        Raises:
            UserError: Poses without a ControlNet.
        """
        from pipeline.config import UserError

        how = self.sampling
        arguments = {"num_inference_steps": how.num_inference_steps, **arguments}
        if pose and self.controlnet is None:
            raise UserError("pose: the manifest's profile names no ControlNet")
        pipe = assembled(self, self.controlnet if pose else None)
        if pose:
            scale = {"controlnet_conditioning_scale": how.controlnet_conditioning_scale}
            arguments = {**scale, **arguments, "image": list(pose)}
        pipe.set_progress_bar_config(disable=True)
        images: list[Image.Image] = pipe(
            guidance_scale=how.guidance_scale if guidance_scale is None else guidance_scale, **arguments
        ).images
        return images


def assembled(parts: Any, controlnet: Any) -> Any:
    """Diffusers' own pipeline: Stable Diffusion's, or with a second text encoder SDXL's; with ControlNet or without.

    Args:
        parts: Has them as attributes, by diffusers' names.
        controlnet: None: a pose cannot be given.
    """
    from diffusers import (
        StableDiffusionControlNetPipeline,
        StableDiffusionPipeline,
        StableDiffusionXLControlNetPipeline,
        StableDiffusionXLPipeline,
    )

    names = ["vae", "text_encoder", "tokenizer", "unet", "scheduler"]
    kinds: tuple[Any, Any] = (StableDiffusionPipeline, StableDiffusionControlNetPipeline)
    more: dict[str, Any] = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    if parts.text_encoder_2 is not None:
        names += ["text_encoder_2", "tokenizer_2"]
        kinds, more = (StableDiffusionXLPipeline, StableDiffusionXLControlNetPipeline), {"add_watermarker": False}
    given = {name: getattr(parts, name) for name in names}
    control = {} if controlnet is None else {"controlnet": controlnet}
    return kinds[controlnet is not None](**given, **control, **more)


def _controlnet(models: BaseModels, models_root: str | None, device: Any) -> Any:
    if models.controlnet is None:
        return None
    from diffusers import ControlNetModel

    from pipeline.models.device import dtype_of

    model = Model(models.controlnet, models_root)
    loaded = ControlNetModel.from_pretrained(model.network_dir(), dtype=dtype_of(model.ref), variant=model.ref.variant)
    return loaded.to(device).eval().requires_grad_(False)
