"""The frozen generator by itself: diffusers' own pipelines, from prompts or prompt embeddings to pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
        controlnet: None: poses cannot be asked for.
    """

    vae: Any
    text_encoder: Any
    tokenizer: Any
    unet: Any
    scheduler: Any
    controlnet: Any
    sampling: Sampling

    @classmethod
    def load(cls, profile: Profile, models_root: str | None) -> Self:
        """A profile's generator.

        Raises:
            UserError: A model is not to be had.
        """
        from spotdiff_model.hub import load_diffusion

        models = base_models(profile)
        return cls.around(load_diffusion(Model(models.base, models_root)), models, sampling(profile), models_root)

    @classmethod
    def around(cls, diffusion: Diffusion, models: BaseModels, sampling: Sampling, models_root: str | None) -> Self:
        """A loaded Stable Diffusion, with the ControlNet that goes with it."""
        from pipeline.models.diffusion import make_scheduler

        return cls(
            vae=diffusion.vae,
            text_encoder=diffusion.text_encoder,
            tokenizer=diffusion.tokenizer,
            unet=diffusion.unet,
            scheduler=make_scheduler(sampling.scheduler, diffusion.scheduler.config),
            controlnet=_controlnet(models, models_root, diffusion.unet.device),
            sampling=sampling,
        )

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
        from diffusers import StableDiffusionControlNetPipeline, StableDiffusionPipeline

        from pipeline.config import UserError

        parts = {name: getattr(self, name) for name in ("vae", "text_encoder", "tokenizer", "unet", "scheduler")}
        parts |= {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
        how = self.sampling
        arguments = {"num_inference_steps": how.num_inference_steps, **arguments}
        if pose and self.controlnet is None:
            raise UserError("pose: the manifest's profile names no ControlNet")
        if pose:
            pipe = StableDiffusionControlNetPipeline(**parts, controlnet=self.controlnet)
            scale = {"controlnet_conditioning_scale": how.controlnet_conditioning_scale}
            arguments = {**scale, **arguments, "image": list(pose)}
        else:
            pipe = StableDiffusionPipeline(**parts)
        pipe.set_progress_bar_config(disable=True)
        images: list[Image.Image] = pipe(
            guidance_scale=how.guidance_scale if guidance_scale is None else guidance_scale, **arguments
        ).images
        return images


def _controlnet(models: BaseModels, models_root: str | None, device: Any) -> Any:
    if models.controlnet is None:
        return None
    from diffusers import ControlNetModel

    from pipeline.models.device import dtype_of

    model = Model(models.controlnet, models_root)
    loaded = ControlNetModel.from_pretrained(model.network_dir(), dtype=dtype_of(model.ref), variant=model.ref.variant)
    return loaded.to(device).eval().requires_grad_(False)
