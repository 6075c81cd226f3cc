"""What stands before the first step: rows, frozen features, a fresh encoder."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import AutoConfig

from pipeline.config import Profile, UserError
from pipeline.models.resolve import Model
from spotdiff_model.config import (
    EncoderConfig,
    TrainConfig,
    base_models,
    default_layers,
    profile_of,
    sampling,
    spoken_template,
)
from spotdiff_model.data.features import CacheProgress, FrozenFeatures, freeze
from spotdiff_model.data.pose_pictures import PosePictures, read_pose_pictures
from spotdiff_model.data.rows import Rows, check_trainable, read_rows
from spotdiff_model.hub import Diffusion, has_two_text_encoders, load_diffusion, vision_encoder, vision_encoder_shape
from spotdiff_model.model import SpotDiffEncoder


@dataclass(frozen=True)
class Prepared:
    """All that a training works on.

    Attributes:
        profile: Of the manifest.
        poses: Further pictures for the pose expert; None where there are none, or no expert.
        validation: Rows to show progress on; none of them is trained on, unless the manifest has a train split only.
    """

    profile: Profile
    encoder: SpotDiffEncoder
    diffusion: Diffusion
    features: FrozenFeatures
    poses: PosePictures | None
    validation: Rows


def prepare(config: TrainConfig, progress: CacheProgress) -> Prepared:
    """Reads the manifest, fills the caches, makes the encoder.

    Raises:
        UserError: The manifest cannot be trained on, or a base model is not to be had.
    """
    rows = read_rows(config.manifest)
    check_trainable(rows.of_split("train"))
    profile = profile_of(rows.manifest.footer, config.manifest)
    rows = rows.described(spoken_template(profile))
    train = rows.of_split("train")
    described = encoder_config(config, profile, rows.manifest.digest)
    vae = Model(described.models.vae, config.models_root) if described.models.vae else None
    diffusion = load_diffusion(Model(described.models.base, config.models_root), vae)
    _check_schedule(diffusion, described)
    frozen = freeze(train, config, described, diffusion, progress)
    poses = None
    if config.pose_pictures and config.experts:
        clip = vision_encoder(described, config.models_root)
        poses = read_pose_pictures(config.pose_pictures, frozen.clip, clip, progress)
    encoder = first_encoder(config, described, diffusion)
    held_out = rows.select(rows.split == "validation")
    return Prepared(profile, encoder, diffusion, frozen, poses, held_out if len(held_out) else train)


def first_encoder(config: TrainConfig, described: EncoderConfig, diffusion: Diffusion) -> SpotDiffEncoder:
    """What a training begins with: fresh weights, or those of a trained encoder.

    Raises:
        UserError: That encoder is not to be had, or is built in another way.
    """
    torch.manual_seed(config.seed)
    encoder = SpotDiffEncoder(described).with_models_root(config.models_root)
    encoder.aligner.start_at(diffusion.text.vocabulary)
    if config.encoder_name_or_path is not None:
        trained = SpotDiffEncoder.from_pretrained(config.encoder_name_or_path)
        _check_alike(config.encoder_name_or_path, trained.config, described)
        encoder.load_state_dict(trained.state_dict())
    return encoder


def encoder_config(config: TrainConfig, profile: Profile, manifest_digest: str) -> EncoderConfig:
    """What the encoder of a training is like; sizes come from the configs of the base models.

    Raises:
        UserError: A layer that CLIP does not have.
    """
    clip = AutoConfig.from_pretrained(Model(profile.models.clip, config.models_root).network_dir())
    base = Model(profile.models.base, config.models_root).pipeline_dir()
    names = ["text_encoder", *(["text_encoder_2"] if has_two_text_encoders(base) else [])]
    texts = [AutoConfig.from_pretrained(base, subfolder=name) for name in names]
    channels, grid, count = vision_encoder_shape(getattr(clip, "vision_config", clip))
    layers = config.layers or default_layers(count)
    wrong = [layer for layer in layers if not -count - 1 <= layer <= count]
    if wrong:
        raise UserError(f"layers: {wrong[0]}: {profile.models.clip.repo} has hidden states 0 to {count}")
    return EncoderConfig(
        models=base_models(profile),
        sampling=sampling(profile),
        layers=layers,
        channels=channels,
        grid=grid,
        token_dim=sum(getattr(text, "text_config", text).hidden_size for text in texts),
        num_pseudo_tokens=config.num_pseudo_tokens,
        width=config.width,
        experts=config.experts,
        project=config.project,
        manifest_digest=manifest_digest,
    )


def _check_alike(name: str, trained: EncoderConfig, wanted: EncoderConfig) -> None:
    """Features of other models, or of other sizes, would be taken for those that the weights know."""
    has, wants = (
        {
            "models.clip": described.models.clip.repo,
            "models.base": described.models.base.repo,
            **described.model_dump(exclude={"models", "sampling", "manifest_digest"}),
        }
        for described in (trained, wanted)
    )
    for field, value in wants.items():
        if has[field] != value:
            raise UserError(
                f"encoder_name_or_path {name}: its {field} is {has[field]}, that of this training {value}; give the "
                "options and the profile that it was trained with, or leave it out"
            )


def _check_schedule(diffusion: Diffusion, described: EncoderConfig) -> None:
    kind = diffusion.scheduler.config.prediction_type
    if kind not in ("epsilon", "v_prediction", "sample"):
        raise UserError(f"model {described.models.base.repo}: scheduler.prediction_type {kind!r} is not known")
