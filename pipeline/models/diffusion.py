"""Stable Diffusion: the ControlNet pipeline that makes subjects and the inpainting pipeline that makes backgrounds.

The networks are loaded once per process. Each thread gets its own pipeline object around them, because a scheduler
counts steps; the caches of prompt embeddings and latents are shared.
"""

from __future__ import annotations

import copy
import inspect
import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from pipeline.config import Scheduler, UserError
from pipeline.models.device import device, dtype_of, quieten
from pipeline.models.resident import LRUCache, per_thread, shared_instance
from pipeline.models.resolve import Model

if TYPE_CHECKING:
    import torch

_PROMPTS = 512  # embeddings kept; 77 x 768 floats each at most, so about 120 MB
_LATENTS = 64


@dataclass(frozen=True)
class Denoiser:
    """A diffusers pipeline that belongs to one thread, with caches that all threads share.

    Attributes:
        pipe: ``StableDiffusionControlNetPipeline`` or ``StableDiffusionInpaintPipeline``.
    """

    pipe: Any
    _prompts: LRUCache[torch.Tensor] = field(default_factory=lambda: LRUCache(_PROMPTS))
    _latents: LRUCache[torch.Tensor] = field(default_factory=lambda: LRUCache(_LATENTS))

    def embed(self, prompts: Sequence[str]) -> torch.Tensor:
        """Prompt embeddings ``[B, L, D]``; each prompt goes through the text encoder once.

        And alone: so its embedding is the same to the last bit whatever else is in the batch or the cache.
        """
        import torch

        def encode(prompt: str) -> Any:
            return self.pipe.encode_prompt(prompt, self.pipe.device, 1, do_classifier_free_guidance=False)[0]

        with torch.inference_mode():
            return torch.cat([self._prompts.get(prompt, partial(encode, prompt)) for prompt in prompts])

    def encode(self, key: Hashable, pixels: Callable[[], torch.Tensor]) -> torch.Tensor:
        """Latents ``[1, C, h, w]`` of a picture, scaled as the UNet wants them; computed once.

        The distribution's mode, not a sample: all images of one subject then start from the same latents.

        Args:
            key: Names the picture.
            pixels: Gives it, ``[1, 3, H, W]`` in -1..1.
        """
        import torch

        vae = self.pipe.vae

        def make() -> torch.Tensor:
            moved = pixels().to(vae.device, vae.dtype)
            # plain layout again: the UNet would take over the autoencoder's, in which it is slower
            return (vae.encode(moved).latent_dist.mode() * vae.config.scaling_factor).contiguous()

        with torch.inference_mode():
            return self._latents.get(key, make)

    def denoise(self, *, seeds: Sequence[int], **arguments: Any) -> torch.Tensor:
        """Runs the pipeline on one batch.

        Args:
            seeds: One per image; noise is drawn on the CPU, so that it is the same on every device.
            arguments: The pipeline's own.

        Returns:
            ``[B, 3, H, W]`` in 0..1, on the pipeline's device.
        """
        import torch

        generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        with torch.inference_mode():
            images: torch.Tensor = self.pipe(generator=generators, output_type="pt", **arguments).images
            return images


def subject_denoiser(base: Model, controlnet: Model, scheduler: Scheduler) -> Denoiser:
    """This thread's ``StableDiffusionControlNetPipeline``."""

    def load() -> Any:
        from diffusers import ControlNetModel, StableDiffusionControlNetPipeline

        control = ControlNetModel.from_pretrained(controlnet.network_dir(), **_loading(controlnet))
        control.controlnet_cond_embedding = embed_once(control.controlnet_cond_embedding)
        return _load_pipeline(StableDiffusionControlNetPipeline, base, controlnet=control)

    return _denoiser(("subjects", base, controlnet), load, scheduler)


def background_denoiser(inpaint: Model, scheduler: Scheduler) -> Denoiser:
    """This thread's ``StableDiffusionInpaintPipeline``."""

    def load() -> Any:
        from diffusers import StableDiffusionInpaintPipeline

        return _load_pipeline(StableDiffusionInpaintPipeline, inpaint)

    return _denoiser(("backgrounds", inpaint), load, scheduler)


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


def pixels_of(images: torch.Tensor) -> Any:
    """uint8 ``[B, H, W, 3]`` (numpy) of a pipeline's images ``[B, 3, H, W]`` in 0..1."""
    return images.permute(0, 2, 3, 1).mul(255).round().clamp(0, 255).byte().cpu().numpy()


def _denoiser(key: tuple[Hashable, ...], load: Callable[[], Any], scheduler: Scheduler) -> Denoiser:
    shared: Denoiser = shared_instance(key, lambda: Denoiser(_frozen(load())))

    def own() -> Denoiser:
        components = {
            **shared.pipe.components,
            "scheduler": make_scheduler(scheduler, shared.pipe.scheduler.config),
            # a call leaves its padding behind in the tokenizer, where another thread's call would find it
            "tokenizer": copy.deepcopy(shared.pipe.tokenizer),
        }
        pipe = type(shared.pipe)(**components, requires_safety_checker=False)
        pipe.set_progress_bar_config(disable=True)
        return Denoiser(pipe, shared._prompts, shared._latents)

    return per_thread((*key, scheduler.model_dump_json()), own)


def _load_pipeline(kind: Any, model: Model, **components: Any) -> Any:
    arguments = {**_loading(model), **components}
    return kind.from_pretrained(model.pipeline_dir(), safety_checker=None, requires_safety_checker=False, **arguments)


def _loading(model: Model) -> dict[str, Any]:
    quieten()
    return {"dtype": dtype_of(model.ref), "variant": model.ref.variant, "use_safetensors": True}


def _frozen(pipe: Any) -> Any:
    import torch

    pipe.to(device())
    pipe.vae.to(memory_format=torch.channels_last)  # decodes a quarter faster; makes no difference to the UNets
    for part in pipe.components.values():
        if hasattr(part, "requires_grad_"):
            part.eval().requires_grad_(False)
    return pipe


def make_scheduler(wanted: Scheduler, config: Any) -> Any:
    """A profile's scheduler, made from the config of the repo's own.

    Raises:
        UserError: diffusers has no such scheduler, or it has no such option.
    """
    import diffusers

    kind: Any = getattr(diffusers, wanted.name, None)
    if not (inspect.isclass(kind) and issubclass(kind, diffusers.SchedulerMixin)):
        raise UserError(f"scheduler.name: diffusers has no scheduler {wanted.name!r}")
    unknown = sorted(set(wanted.options) - set(inspect.signature(kind).parameters))
    if unknown:
        raise UserError(f"scheduler.options: {wanted.name} has no option {unknown[0]!r}")
    made: Any = kind
    return made.from_config(config, **wanted.options)
