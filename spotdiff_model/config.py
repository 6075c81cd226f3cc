"""What an encoder is (:class:`EncoderConfig`, saved with its weights) and how it is trained (:class:`TrainConfig`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.config import ModelRef, Profile, Scheduler, UserError, checked, first_problem

Count = Annotated[int, Field(ge=1)]
_MIN_GUIDANCE = 3.0


def _also(old: str, default: Any = ..., **more: Any) -> Any:
    """A field that earlier versions saved under another name."""
    return Field(default, validation_alias=old, **more)


class _Settings(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", protected_namespaces=(), populate_by_name=True, loc_by_alias=False
    )


class BaseModels(_Settings):
    """The frozen models that an encoder was trained with, and is of use with.

    Attributes:
        clip: Its vision encoder reads the pictures.
        base: Text encoders, VAE, UNet and scheduler.
        vae: An autoencoder in place of ``base``'s.
        controlnet: For generation in a given pose.
        pose: Finds the pose in a picture that is given for its pose.
    """

    clip: ModelRef
    base: ModelRef
    vae: ModelRef | None = None
    controlnet: ModelRef | None = None
    pose: ModelRef | None = None


class Sampling(_Settings):
    """How pictures are generated unless told otherwise; from the manifest's profile."""

    scheduler: Scheduler = Scheduler()
    num_inference_steps: Count = 12
    guidance_scale: float = 2.0
    controlnet_conditioning_scale: float = 1.0
    negative_prompt: str = ""
    line_width: float = 0.016
    """Of the control picture's limbs, as a share of its side."""


class EncoderConfig(_Settings):
    """Everything that a :class:`~spotdiff_model.model.SpotDiffEncoder` is built from; its ``config.json``.

    Attributes:
        layers: CLIP hidden states to read, counted as in ``hidden_states``: 0 the embeddings, -1 the last.
        channels: Width of a CLIP token.
        grid: Patches along a picture's side.
        token_dim: Width of the text encoder's token embeddings; with two text encoders, of both together.
        num_pseudo_tokens: Pseudo-tokens that stand at ``S*``.
        width: Width of the experts' and the head's own layers.
        subject_dim, pose_dim, background_dim: Widths of f_s, f_p and f_b.
        experts: False: no pose and background expert; f_p and f_b then have width 0 and keypoints are zeros.
        project: Whether what f_p and f_b tell linearly is taken out of f_s.
        manifest_digest: Of the manifest that it was trained on.
    """

    models: BaseModels
    sampling: Sampling = Sampling()
    layers: tuple[int, ...]
    channels: Count
    grid: Count
    token_dim: Count = _also("word_dim")
    num_pseudo_tokens: Count = _also("num_words", default=8)
    width: Count = 96
    subject_dim: Count = 128
    pose_dim: Count = 128
    background_dim: Count = 128
    experts: bool = True
    project: bool = True
    manifest_digest: str = ""


class TrainConfig(_Settings):
    """One training. Ablations are configs: ``experts=False``, a weight of 0, ``reference="same"``.

    Descriptions are the command line's help.
    """

    manifest: str = Field(description="The dataset: file, or folder of parts. Its split 'train' is used.")
    output_dir: str = Field("work/spotdiff-encoder", description="Gets encoder, checkpoints, logs and curves.")
    cache_dir: str | None = Field(
        None, description="Frozen features, shared by all trainings that name it; default: beside output_dir."
    )
    models_root: str | None = Field(None, description="Folder in hub layout that stands in for the hub.")
    max_train_steps: int = Field(1000, ge=1, description="Optimizer steps.")
    train_batch_size: int = Field(48, ge=2, description="Pairs (reference, target) per device and step.")
    noise_batch_size: int = Field(4, ge=1, description="How many of the pairs also go through the UNet.")
    gradient_accumulation_steps: int = Field(1, ge=1, description="Batches per optimizer step.")
    learning_rate: float = Field(3e-3, gt=0, description="AdamW's, at its highest.")
    lr_scheduler: str = Field("cosine", description="By diffusers' name: cosine, constant, linear ...")
    lr_warmup_steps: int = Field(50, ge=0, description="Steps in which the learning rate rises.")
    adam_weight_decay: float = Field(1e-2, ge=0, description="AdamW's.")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradients are clipped to this norm.")
    mixed_precision: Literal["no", "fp16", "bf16"] = Field("no", description="For GPUs; slow on most CPUs.")
    checkpointing_steps: int = Field(200, ge=1, description="A checkpoint every so many steps.")
    checkpoints_total_limit: int = Field(2, ge=1, description="Only the newest checkpoints are kept.")
    resume_from_checkpoint: str | None = Field(None, description="'latest', or a checkpoint's folder.")
    report_to: Literal["tensorboard", "wandb", "none"] = Field("tensorboard", description="Where losses are logged.")
    validation_steps: int = Field(0, ge=0, description="Pictures every so many steps; 0: at the end only.")
    num_validation_images: int = Field(4, ge=0, description="Held-out subjects to make pictures of.")
    push_to_hub: bool = Field(False, description="Upload the encoder at the end.")
    hub_model_id: str | None = Field(None, description="The repo to upload to; default: output_dir's name.")
    seed: int = Field(0, ge=0, description="Settles weights, batches and noise.")
    encoder_name_or_path: str | None = Field(
        None,
        description="Weights to begin with: a trained encoder's folder, its repo on the hub, or package:tiny; default: "
        "fresh ones. A lower --learning_rate suits them.",
    )
    reference: Literal["other", "same"] = Field(
        "other",
        description="'other': reference and target are different pictures of one subject: another background and, "
        "wherever the subject occurs in several poses, another pose. 'same': one picture (an ablation).",
    )
    noise_weight: float = Field(1.0, ge=0, description="Of the UNet's noise prediction loss.")
    distillation_weight: float = Field(
        5.0, ge=0, description="Of agreement with what the UNet predicts for the text prompt."
    )
    orthogonality_weight: float = Field(0.1, ge=0, description="Of the cosines between the features.")
    spotting_weight: float = Field(1.0, ge=0, description="Of keypoints, and of contrast in background and subject.")
    independence_weight: float = Field(1.0, ge=0, description="Of cross-covariance and HSIC between the features.")
    text_weight: float = Field(1.0, ge=0, description="Of agreement with what the prompts say.")
    subject_contrast: Literal["supervised", "near-identity"] = Field(
        "supervised", description="Contrast of subjects: Khosla et al.'s, or NearID's with hard negatives."
    )
    experts: bool = Field(True, description="Whether there are a pose and a background expert.")
    project: bool = Field(True, description="Whether the experts' span is taken out of the subject feature.")
    layers: tuple[int, ...] | None = Field(
        None, description="CLIP hidden states to read; default: up to five, evenly spread."
    )
    num_pseudo_tokens: int = _also("num_words", 8, ge=1, description="Pseudo-tokens at S*.")
    width: int = Field(96, ge=8, description="Of the experts' own layers.")
    lora_rank: int = Field(0, ge=0, description="Of a LoRA on the UNet's cross-attention; 0: none.")
    augmentations: int = _also(
        "views",
        3,
        ge=0,
        description="Augmentations of each picture: bent, mirrored, turned and moved.",
    )
    pose_pictures: str | None = Field(
        None,
        description="COCO-keypoints JSON of further pictures, in images/ beside it or beside it: the pose expert alone "
        "learns from them (spotdiff world render makes some).",
    )
    pose_batch_size: int = Field(48, ge=1, description="Of --pose_pictures, so many per device and step.")

    @property
    def cache_folder(self) -> str:
        """Where frozen features are kept: a folder or URL."""
        return self.cache_dir or str(Path(self.output_dir).parent / "spotdiff-cache")


def train_config(**values: Any) -> TrainConfig:
    """A checked training config; unset (None) values fall back to the defaults.

    Raises:
        UserError: Names the first wrong field.
    """
    return checked(TrainConfig, "training", values)


def profile_of(footer: Mapping[str, Any], manifest: str) -> Profile:
    """The profile that a manifest was built with.

    Raises:
        UserError: The footer has none, or a broken one.
    """
    if "profile" not in footer:
        raise UserError(
            f"manifest {manifest}: its footer names no profile (written by another program?); build it again, or "
            f"`spotdiff filter {manifest} --parent ORIGIN --out F` takes it from the manifest that the rows are from"
        )
    try:
        return Profile.model_validate(footer["profile"])
    except ValidationError as error:
        raise UserError(f"manifest {manifest}: footer, profile: {first_problem(error)}") from error


def base_models(profile: Profile) -> BaseModels:
    """The profile's models that the encoder needs."""
    models = profile.models
    return BaseModels(
        clip=models.clip, base=models.base, vae=models.vae, controlnet=models.controlnet, pose=models.pose
    )


def spoken_template(profile: Profile) -> str:
    """How a dataset's pictures are described, with ``{subject}`` and ``{background}``.

    Inpainting may be told of the background alone, lest it paints a second subject; the encoder's prompts name both.
    """
    template = profile.backgrounds.prompt_template
    return template if "{subject}" in template else "{subject}, " + template


def sampling(profile: Profile) -> Sampling:
    """The profile's way to generate subjects, but with guidance: a build tries again, a user looks at one picture."""
    return Sampling(
        scheduler=profile.schedulers["subjects"],
        num_inference_steps=profile.subjects.num_inference_steps,
        guidance_scale=max(profile.subjects.guidance_scale, _MIN_GUIDANCE),
        controlnet_conditioning_scale=profile.subjects.controlnet_conditioning_scale,
        negative_prompt=profile.subjects.negative_prompt,
        line_width=profile.poses.line_width,
    )


def default_layers(count: int) -> tuple[int, ...]:
    """The hidden states to read of a vision encoder with ``count`` layers: evenly from the embeddings to the last.

    Five, as many as ELITE reads of ViT-L/14, unless they would be neighbours, which say nearly the same. Places are
    found in the lower half, meaning in the upper.
    """
    parts = max(1, min(4, count // 2))
    return tuple(round(count * part / parts) for part in range(parts + 1))
