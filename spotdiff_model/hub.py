"""Models from the hub, or from a folder that stands in for it: CLIP's vision encoder, Stable Diffusion, encoders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.config import UserError
from pipeline.models.device import device, dtype_of, quieten
from pipeline.models.resident import shared_instance
from pipeline.models.resolve import Model

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from pipeline.config import ModelRef
    from spotdiff_model.config import EncoderConfig
    from spotdiff_model.text import Conditions, TextEncoders

_HUB_OPTIONS = ("revision", "cache_dir", "force_download", "token", "local_files_only")


@dataclass(frozen=True)
class VisionEncoder:
    """A resident vision encoder with its processor.

    Attributes:
        layers: Hidden states to take.
    """

    network: Any
    processor: Any
    layers: tuple[int, ...]

    @property
    def size(self) -> int:
        """Side of the pictures that it looks at, pixels."""
        return int(self.network.config.image_size)

    def tokens(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """What the encoder reads of pictures: ``[N, 1 + patches, layers * channels]``, on the vision encoder's device.

        Each hidden state is normalised: CLIP's deeper layers have single channels a hundred times the others. Being
        frozen, that is done here, once per picture, and not in every step that reads it.
        """
        import torch
        from torch.nn import functional as F

        pixels = self.processor([image.convert("RGB") for image in images], return_tensors="pt").pixel_values
        with torch.no_grad():
            states = self.network(
                pixel_values=pixels.to(self.network.device, self.network.dtype), output_hidden_states=True
            ).hidden_states
        return torch.cat([F.layer_norm(states[layer], states[layer].shape[-1:]) for layer in self.layers], dim=-1)


def vision_encoder(config: EncoderConfig, models_root: str | None = None) -> VisionEncoder:
    """The process's vision encoder for a subject encoder.

    Raises:
        UserError: It is not on this machine, or not the one that the config describes.
    """
    model = Model(config.models.clip, models_root)
    network, processor = shared_instance(("vision encoder", model), lambda: _load_vision_encoder(model))
    channels, grid, _ = vision_encoder_shape(network.config)
    if (channels, grid) != (config.channels, config.grid):
        raise UserError(
            f"model {model.ref.repo}: {grid} x {grid} patches of {channels} channels, but the encoder was trained on "
            f"{config.grid} x {config.grid} of {config.channels}; name the folder it was trained with (--models-root)"
        )
    return VisionEncoder(network, processor, config.layers)


def vision_encoder_shape(config: Any) -> tuple[int, int, int]:
    """Channels, patches along a side and number of layers, from a ``CLIPVisionConfig``."""
    return config.hidden_size, config.image_size // config.patch_size, config.num_hidden_layers


def _load_vision_encoder(model: Model) -> tuple[Any, Any]:
    from transformers import CLIPImageProcessor, CLIPModel

    quieten()
    folder = model.network_dir()
    # a whole CLIP (as hubs have it) is loaded in full: its text half would be reported as unexpected
    network = CLIPModel.from_pretrained(folder, dtype=dtype_of(model.ref)).vision_model
    return network.to(device()).eval().requires_grad_(False), CLIPImageProcessor.from_pretrained(folder)


@dataclass(frozen=True)
class Diffusion:
    """The frozen parts of a Stable Diffusion repo.

    Attributes:
        text: Text encoders with their tokenizers; SDXL has two.
        scheduler: The repo's own, i.e. the noise schedule that the UNet was trained with.
    """

    vae: Any
    text: TextEncoders
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
        """The text encoders' output at each prompt's end, ``[N, D]``: what the whole prompt says."""
        return self.text.features(self.text.ids(prompts))

    def prompt_conditions(self, prompts: Sequence[str]) -> Conditions:
        """What the UNet is told of prompts."""
        return self.text.conditions(self.text.ids(prompts))

    @property
    def size(self) -> int:
        """Side of the pictures, pixels."""
        return int(self.unet.config.sample_size * 2 ** (len(self.vae.config.block_out_channels) - 1))


def load_diffusion(model: Model, vae: Model | None = None) -> Diffusion:
    """The parts of a repo, frozen. Not resident: a training may put a LoRA on the UNet.

    Args:
        model: A pipeline's folder, of Stable Diffusion 1.x or XL.
        vae: An autoencoder in place of the repo's own.
    """
    from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    from spotdiff_model.text import TextEncoders

    quieten()
    folder = model.pipeline_dir()

    def network(kind: Any, name: str) -> Any:
        return _frozen(kind, model.ref, folder, subfolder=name)

    pairs = [(network(CLIPTextModel, "text_encoder"), "tokenizer")]
    if has_two_text_encoders(folder):
        pairs.append((network(CLIPTextModelWithProjection, "text_encoder_2"), "tokenizer_2"))
    tokenizers = tuple(CLIPTokenizer.from_pretrained(folder, subfolder=name) for _, name in pairs)
    return Diffusion(
        vae=_frozen(AutoencoderKL, vae.ref, vae.network_dir()) if vae else network(AutoencoderKL, "vae"),
        text=TextEncoders(tuple(encoder for encoder, _ in pairs), tokenizers),
        unet=network(UNet2DConditionModel, "unet"),
        scheduler=DDPMScheduler.from_pretrained(folder, subfolder="scheduler"),
    )


def has_two_text_encoders(folder: Path) -> bool:
    """Whether a pipeline's folder is one of SDXL."""
    return (folder / "text_encoder_2").is_dir()


def _frozen(kind: Any, ref: ModelRef, folder: Path, **where: str) -> Any:
    network = kind.from_pretrained(folder, dtype=dtype_of(ref), variant=ref.variant, use_safetensors=True, **where)
    return network.to(device()).eval().requires_grad_(False)


def as_numpy(features: torch.Tensor) -> np.ndarray:
    """Features in the half precision that they are kept in."""
    kept: np.ndarray = features.float().cpu().numpy().astype(np.float16)
    return kept


def load_weights(
    kind: type[Any],
    model_id: str,
    config: EncoderConfig | None,
    *,
    map_location: str = "cpu",
    strict: bool = True,
    **options: Any,
) -> Any:
    """An encoder with the weights of its ``model.safetensors``; nothing is unpickled.

    Args:
        kind: The encoder's class.
        model_id: Output folder of a training, or repo on the hub.
        config: From its ``config.json``; None where there is none.
        map_location: Device of the weights.
        strict: Whether every weight must be there.
        options: Those of the hub (revision, cache_dir, token ...), and what diffusers hands to each part of a pipeline,
            of which only a dtype concerns the encoder.

    Raises:
        UserError: Not the folder of an encoder.
    """
    import torch
    from huggingface_hub import hf_hub_download
    from huggingface_hub.constants import CONFIG_NAME, SAFETENSORS_SINGLE_FILE
    from safetensors import SafetensorError
    from safetensors.torch import load_model

    if config is None:
        raise UserError(f"model {model_id}: no {CONFIG_NAME}; name the output folder of a training")
    path = Path(model_id) / SAFETENSORS_SINGLE_FILE
    if not Path(model_id).is_dir():
        hub = {name: options[name] for name in _HUB_OPTIONS if name in options}
        path = Path(str(hf_hub_download(model_id, path.name, **hub)))
    if not path.is_file():
        raise UserError(f"model {model_id}: no {path.name}; name the output folder of a training that has ended")
    encoder = kind(config)
    try:
        load_model(encoder, path, strict=strict, device=map_location)
    except (RuntimeError, SafetensorError) as error:
        why = " ".join(str(error).split())[:160]
        raise UserError(f"model {model_id}: {path.name} does not fit {CONFIG_NAME}; train it again ({why})") from error
    dtype = options.get("dtype") or options.get("torch_dtype")
    return (encoder.to(dtype) if isinstance(dtype, torch.dtype) else encoder).eval()
