"""The frozen CLIP vision tower: pictures to the hidden states that the encoder reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.config import UserError
from pipeline.models.device import device, dtype_of, quieten
from pipeline.models.resident import shared_instance
from pipeline.models.resolve import Model

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from spotdiff_model.config import EncoderConfig


@dataclass(frozen=True)
class Tower:
    """A resident vision tower with its processor.

    Attributes:
        layers: Hidden states to take.
    """

    network: Any
    processor: Any
    layers: tuple[int, ...]

    def tokens(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """What the encoder reads of pictures: ``[N, 1 + patches, layers * channels]``, on the tower's device.

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


def tower(config: EncoderConfig, models_root: str | None = None) -> Tower:
    """The process's tower for an encoder.

    Raises:
        UserError: It is not on this machine, or not the one that the config describes.
    """
    model = Model(config.models.clip, models_root)
    network, processor = shared_instance(("clip tower", model), lambda: _load(model))
    channels, grid, _ = tower_shape(network.config)
    if (channels, grid) != (config.channels, config.grid):
        raise UserError(
            f"model {model.ref.repo}: {grid} x {grid} patches of {channels} channels, but the encoder was trained on "
            f"{config.grid} x {config.grid} of {config.channels}; name the folder it was trained with (--models-root)"
        )
    return Tower(network, processor, config.layers)


def tower_shape(config: Any) -> tuple[int, int, int]:
    """Channels, patches along a side and number of layers, from a ``CLIPVisionConfig``."""
    return config.hidden_size, config.image_size // config.patch_size, config.num_hidden_layers


def _load(model: Model) -> tuple[Any, Any]:
    from transformers import CLIPImageProcessor, CLIPModel

    quieten()
    folder = model.network_dir()
    # a whole CLIP (as hubs have it) is loaded in full: its text half would be reported as unexpected
    network = CLIPModel.from_pretrained(folder, dtype=dtype_of(model.ref)).vision_model
    return network.to(device()).eval().requires_grad_(False), CLIPImageProcessor.from_pretrained(folder)
