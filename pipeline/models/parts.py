"""Loading diffusers' networks as a profile says: precision, variant, safetensors only."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from pipeline.models.device import dtype_of, quieten
from pipeline.models.resolve import Model

if TYPE_CHECKING:
    import torch


def from_pretrained(kind: Any, model: Model, **components: Any) -> Any:
    """A pipeline of that class, on the CPU; ``components`` replace the folder's own."""
    return kind.from_pretrained(model.pipeline_dir(), **_loading(model), **components)


def load_controlnet(model: Model) -> Any:
    """A ControlNet that embeds the control picture once a call."""
    from diffusers import ControlNetModel

    control = ControlNetModel.from_pretrained(model.network_dir(), **_loading(model))
    control.controlnet_cond_embedding = embed_once(control.controlnet_cond_embedding)
    return control


def load_vae(model: Model) -> Any:
    """An autoencoder that stands alone in its repo."""
    from diffusers import AutoencoderKL

    return AutoencoderKL.from_pretrained(model.network_dir(), **_loading(model))


def embed_once(embedding: torch.nn.Module) -> torch.nn.Module:
    """A ControlNet's embedding of the control picture, computed once per picture instead of at every step.

    It works at the picture's full resolution: on small models a tenth of all the time. A pipeline hands over the same
    tensor at each step, with as many copies of the picture as there are images; one is enough.
    """
    import torch

    class EmbedOnce(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = embedding
            self.last = threading.local()  # what this thread's pipeline asked for: (control pictures, embeddings)

        def forward(self, pictures: torch.Tensor) -> torch.Tensor:
            asked, given = getattr(self.last, "pair", (None, None))
            if asked is not pictures:
                alike = bool((pictures == pictures[:1]).all())
                given = self.embedding(pictures[:1] if alike else pictures).expand(len(pictures), -1, -1, -1)
                self.last.pair = pictures, given
            return given

    return EmbedOnce()


def _loading(model: Model) -> dict[str, Any]:
    quieten()
    return {"dtype": dtype_of(model.ref), "variant": model.ref.variant, "use_safetensors": True}
