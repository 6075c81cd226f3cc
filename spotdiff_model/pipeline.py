"""Pictures of a subject from one picture of it: encoder and frozen Stable Diffusion as a diffusers pipeline."""

# no postponed annotations: diffusers reads the types of __init__'s arguments
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    DiffusionPipeline,
    UNet2DConditionModel,
)
from diffusers.pipelines.pipeline_loading_utils import ALL_IMPORTABLE_CLASSES, LOADABLE_CLASSES
from diffusers.schedulers import KarrasDiffusionSchedulers
from PIL.Image import Image
from transformers import (
    CLIPImageProcessor,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionModel,
)

from pipeline.config import UserError
from pipeline.models.resolve import Model
from spotdiff_model.denoiser import Denoiser, assembled
from spotdiff_model.hub import Diffusion, VisionEncoder, load_diffusion, vision_encoder
from spotdiff_model.model import SpotDiffEncoder
from spotdiff_model.placeholder import tokenize, with_placeholder
from spotdiff_model.shipped import is_shipped, model_folder
from spotdiff_model.text import Conditions, TextEncoders

# how diffusers saves and loads a part that is neither its own nor transformers'
LOADABLE_CLASSES["spotdiff_model"] = {"SpotDiffEncoder": ["save_pretrained", "from_pretrained"]}
ALL_IMPORTABLE_CLASSES["SpotDiffEncoder"] = ["save_pretrained", "from_pretrained"]
LORA, LORA_WEIGHTS = "unet_lora", "pytorch_lora_weights.safetensors"
"""Folder, in that of an encoder, and file of the LoRA that was trained with it."""


class SpotDiffPipeline(DiffusionPipeline):
    """``pipe(image, prompt="S* on a beach")``: new pictures of the subject of ``image``.

    The denoising is diffusers' own: ``StableDiffusionPipeline``, or SDXL's; with ``pose`` their ControlNet pipelines.
    """

    _optional_components = ["controlnet", "text_encoder_2", "tokenizer_2"]  # noqa: RUF012  (diffusers' way)

    def __init__(
        self,
        vae: AutoencoderKL,
        text_encoder: CLIPTextModel,
        tokenizer: CLIPTokenizer,
        unet: UNet2DConditionModel,
        scheduler: KarrasDiffusionSchedulers,
        image_encoder: CLIPVisionModel,
        feature_extractor: CLIPImageProcessor,
        encoder: SpotDiffEncoder,
        controlnet: ControlNetModel | None = None,
        text_encoder_2: CLIPTextModelWithProjection | None = None,
        tokenizer_2: CLIPTokenizer | None = None,
    ) -> None:
        super().__init__()
        self.register_modules(
            vae=vae,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            unet=unet,
            scheduler=scheduler,
            image_encoder=image_encoder,
            feature_extractor=feature_extractor,
            encoder=encoder,
            controlnet=controlnet,
            text_encoder_2=text_encoder_2,
            tokenizer_2=tokenizer_2,
        )

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **options: Any) -> Self:
        """As diffusers has it; besides, ``package:tiny`` is the pipeline around the encoder that ships.

        Args:
            pretrained_model_name_or_path: A saved pipeline's folder or repo, or ``package:NAME``.
            options: diffusers'; of a shipped encoder only ``dtype`` (``torch_dtype``) means anything.

        Raises:
            UserError: No such encoder ships with this installation.
        """
        if not is_shipped(pretrained_model_name_or_path):
            loaded: Self = super().from_pretrained(pretrained_model_name_or_path, **options)
            return loaded
        pipe = cls.from_encoder(pretrained_model_name_or_path)
        dtype = options.get("dtype") or options.get("torch_dtype")
        return pipe.to(dtype) if dtype is not None else pipe

    @classmethod
    def from_encoder(cls, folder: str | Path, models_root: str | None = None) -> Self:
        """The pipeline around a trained encoder: the base models that its config names, its LoRA put into the UNet.

        Args:
            folder: Output folder of a training, an encoder's repo on the hub, or ``package:NAME``.
            models_root: Folder in hub layout that stands in for the hub.

        Raises:
            UserError: The encoder or a base model is not to be had.
        """
        folder = model_folder(folder)
        encoder = SpotDiffEncoder.from_pretrained(folder)
        models = encoder.config.models
        vae = Model(models.vae, models_root) if models.vae else None
        diffusion = load_diffusion(Model(models.base, models_root), vae)
        if (Path(folder) / LORA).is_dir():
            weights = {"weight_name": LORA_WEIGHTS, "use_safetensors": True}
            diffusion.unet.load_lora_adapter(Path(folder) / LORA, prefix=None, **weights)
            diffusion.unet.fuse_lora()
            diffusion.unet.unload_lora()
        return cls.around(encoder, diffusion, models_root)

    @classmethod
    def around(cls, encoder: SpotDiffEncoder, diffusion: Diffusion, models_root: str | None = None) -> Self:
        """The pipeline around an encoder and a loaded Stable Diffusion."""
        config = encoder.config
        clip = vision_encoder(config, models_root)
        base = Denoiser.around(diffusion, config.models, config.sampling, models_root)
        pipe = cls(**base.components(), image_encoder=clip.network, feature_extractor=clip.processor, encoder=encoder)
        pipe.set_progress_bar_config(disable=True)
        return pipe

    @torch.no_grad()
    def subject_pseudo_tokens(self, image: Image | Sequence[Image]) -> torch.Tensor:
        """The pseudo-token embeddings ``[N, k, W]`` of N pictures."""
        images = [image] if isinstance(image, Image) else list(image)
        clip = VisionEncoder(self.image_encoder, self.feature_extractor, self.encoder.config.layers)
        parameter = next(self.encoder.parameters())
        return self.encoder(clip.tokens(images).to(parameter.device, parameter.dtype)).pseudo_tokens

    @torch.no_grad()
    def __call__(
        self,
        image: Image | Sequence[Image] | None = None,
        prompt: str | Sequence[str] = "S*",
        *,
        pose: Image | Sequence[Image] | None = None,
        negative_prompt: str | None = None,
        num_images_per_prompt: int = 1,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        generator: torch.Generator | list[torch.Generator] | None = None,
        pseudo_tokens: torch.Tensor | None = None,
        **arguments: Any,
    ) -> Any:
        """New pictures of a subject.

        Args:
            image: One picture of the subject, or one per prompt.
            prompt: With ``S*`` where the subject is meant; one per picture. Appended where it is missing.
            pose: Control picture(s): the pose drawn by :func:`pipeline.imaging.skeleton.draw_pose`.
            negative_prompt, num_inference_steps, guidance_scale: Default: as the dataset was made.
            num_images_per_prompt, generator: As in diffusers; one generator, or one per picture that comes out.
            pseudo_tokens: From :meth:`subject_pseudo_tokens`, instead of ``image``.
            arguments: Go to the diffusers pipeline (``output_type``, ``controlnet_conditioning_scale`` ...).

        Returns:
            diffusers' output: ``.images``.

        Raises:
            UserError: Neither image nor pseudo-tokens, a pose without ControlNet, or ``S*`` does not fit.
        """
        if image is None and pseudo_tokens is None:
            raise UserError("image: none given; name one picture of the subject")
        settings = self.encoder.config.sampling
        prompts = [with_placeholder(p) for p in ([prompt] if isinstance(prompt, str) else prompt)]
        if pseudo_tokens is None:
            pseudo_tokens = self.subject_pseudo_tokens(image)
        if len(pseudo_tokens) == 1:
            pseudo_tokens = pseudo_tokens.expand(len(prompts), -1, -1)
        if len(pseudo_tokens) != len(prompts):
            raise UserError(
                f"{len(pseudo_tokens)} pictures for {len(prompts)} prompts; give one picture, or one for each prompt"
            )
        pipe = self._denoiser(pose is not None)
        if pose is not None:
            scale = {"controlnet_conditioning_scale": settings.controlnet_conditioning_scale}
            arguments = {**scale, **arguments, "image": pose}
        return pipe(
            **self.encode_prompts(prompts, pseudo_tokens).for_pipeline(),
            **self._negative(negative_prompt).expand(len(prompts)).for_pipeline(negative=True),
            num_images_per_prompt=num_images_per_prompt,
            num_inference_steps=num_inference_steps or settings.num_inference_steps,
            guidance_scale=settings.guidance_scale if guidance_scale is None else guidance_scale,
            generator=generator,
            **arguments,
        )

    @property
    def text(self) -> TextEncoders:
        """The text encoders, one or two."""
        if self.text_encoder_2 is None:
            return TextEncoders((self.text_encoder,), (self.tokenizer,))
        return TextEncoders((self.text_encoder, self.text_encoder_2), (self.tokenizer, self.tokenizer_2))

    def encode_prompts(self, prompts: Sequence[str], pseudo_tokens: torch.Tensor) -> Conditions:
        """What the UNet is told of prompts with pseudo-token embeddings ``[N, k, W]`` at ``S*``."""
        device = self.text_encoder.device
        tokens = tokenize(self.tokenizer, prompts, self.encoder.config.num_pseudo_tokens).to(device)
        return self.text.conditions(tokens, pseudo_tokens.to(device))

    def _denoiser(self, posed: bool) -> Any:
        if posed and self.controlnet is None:
            raise UserError("pose: this pipeline has no ControlNet; the profile of the training's manifest names none")
        pipe = assembled(self, self.controlnet if posed else None)
        pipe.set_progress_bar_config(**getattr(self, "_progress_bar_config", {}))
        return pipe

    def _negative(self, prompt: str | None) -> Conditions:
        text = self.text
        told = self.encoder.config.sampling.negative_prompt if prompt is None else prompt
        return text.conditions(text.ids([told]))
