"""Diffusion: the pipeline that makes subjects and the one that makes backgrounds, whatever family they are of.

The networks are loaded once per process. Each thread gets its own pipeline object around them, because a scheduler
counts steps; the caches of prompt embeddings and latents are shared. What a family does in its own way is in
:mod:`pipeline.models.families`.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from pipeline.config import Runtime, Scheduler, UserError
from pipeline.models.device import device, prepare
from pipeline.models.families import family_of
from pipeline.models.families.family import Family
from pipeline.models.loading import loading
from pipeline.models.parts import load_vae
from pipeline.models.resident import LRUCache, per_thread, shared_instance
from pipeline.models.resolve import Model
from pipeline.models.turns import turn

if TYPE_CHECKING:
    import torch

_PROMPTS = 512  # embeddings kept; 77 x 2048 halves each at most, so about 160 MB
_LATENTS = 64


@dataclass(frozen=True)
class Denoiser:
    """A diffusers pipeline that belongs to one thread, with caches that all threads share.

    Attributes:
        pipe: The family's pipeline for subjects or for backgrounds.
        family: Its family.
        runtime: How it is run.
        shared: The pipeline that all threads share; it holds the networks and is never called.
    """

    pipe: Any
    family: Family
    runtime: Runtime
    shared: Any
    _prompts: LRUCache[dict[str, torch.Tensor]] = field(default_factory=lambda: LRUCache(_PROMPTS))
    _latents: LRUCache[torch.Tensor] = field(default_factory=lambda: LRUCache(_LATENTS))

    def turn(self) -> AbstractContextManager[None]:
        """Keeps the device for a whole batch; the methods below take it each for themselves."""
        return turn(self.shared, self.runtime)

    def embed(self, prompts: Sequence[str], negatives: Sequence[str] | None = None) -> dict[str, Any]:
        """The pipeline's arguments for prompts (and negative prompts, where there is guidance).

        Each prompt goes through the text encoder once, and alone: so its embedding is the same to the last bit
        whatever else is in the batch or the cache.
        """
        import torch

        def embedded(texts: Sequence[str]) -> list[dict[str, torch.Tensor]]:
            return [self._prompts.get(text, partial(self.family.embed, self.pipe, text)) for text in texts]

        with torch.inference_mode(), self.turn():
            return self.family.conditions(embedded(prompts), None if negatives is None else embedded(negatives))

    def encode(self, key: Hashable, pixels: Callable[[], torch.Tensor]) -> torch.Tensor:
        """Latents ``[1, C, h, w]`` of a picture, scaled as the denoiser wants them; computed once.

        The distribution's mode, not a sample: all images of one subject then start from the same latents.

        Args:
            key: Names the picture.
            pixels: Gives it, ``[1, 3, H, W]`` in -1..1.
        """
        import torch

        vae = self._overflows_in_half() or self.pipe.vae

        def make() -> torch.Tensor:
            moved = pixels().to(vae.device, vae.dtype)
            # plain layout again: the UNet would take over the autoencoder's, in which it is slower
            return self.family.to_latents(vae, vae.encode(moved).latent_dist.mode()).contiguous()

        with torch.inference_mode(), self.turn():
            return self._latents.get(key, make)

    def denoise(self, *, seeds: Sequence[int], **arguments: Any) -> torch.Tensor:
        """Runs the pipeline on one batch.

        Args:
            seeds: One per image; noise is drawn on the CPU, so that it is the same on every device.
            arguments: The pipeline's own.

        Returns:
            ``[B, 3, H, W]`` in 0..1, on the pipeline's device; a picture that is not finite stays so.
        """
        import torch

        generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        with torch.inference_mode(), self.turn():
            return self.decode(self.pipe(generator=generators, output_type="latent", **arguments).images)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Pictures ``[B, 3, H, W]`` in 0..1; those that half precision overflows in are decoded again in full."""
        import torch

        vae = self._overflows_in_half() or self.pipe.vae
        images = self._decoded(vae, latents)
        lost = ~torch.isfinite(images).flatten(1).all(dim=1)
        if lost.any() and vae.dtype != torch.float32:
            images = images.float()
            images[lost] = self._decoded(self._in_full(), latents[lost])
        return images

    def _decoded(self, vae: Any, latents: torch.Tensor) -> torch.Tensor:
        pictures = vae.decode(self.family.from_latents(vae, latents.to(vae.dtype)), return_dict=False)[0]
        made: torch.Tensor = self.pipe.image_processor.postprocess(pictures, output_type="pt")
        return made

    def _in_full(self) -> Any:
        """The autoencoder in float32; a copy, because other threads use the other one meanwhile."""
        vae = self.shared.vae
        return shared_instance(("full", id(vae)), lambda: copy.deepcopy(vae).float().to(device()))

    def _overflows_in_half(self) -> Any | None:
        """The float32 copy where the autoencoder's own configuration asks for it."""
        import torch

        vae = self.pipe.vae
        forced = vae.dtype == torch.float16 and getattr(vae.config, "force_upcast", False)
        return self._in_full() if forced else None


def subject_denoiser(
    base: Model, controlnet: Model, scheduler: Scheduler, vae: Model | None = None, runtime: Runtime | None = None
) -> Denoiser:
    """This thread's pipeline from prompts and a control picture to subjects."""
    family = family_of(base)

    def load() -> Any:
        return family.load_subjects(base, controlnet, **_replaced(vae))

    return _denoiser(("subjects", base, controlnet, vae), family, load, scheduler, runtime or Runtime())


def background_denoiser(
    inpaint: Model, scheduler: Scheduler, vae: Model | None = None, runtime: Runtime | None = None
) -> Denoiser:
    """This thread's pipeline that repaints what is around a subject."""
    family = family_of(inpaint)

    def load() -> Any:
        return family.load_backgrounds(inpaint, **_replaced(vae))

    return _denoiser(("backgrounds", inpaint, vae), family, load, scheduler, runtime or Runtime())


def pixels_of(images: torch.Tensor) -> Any:
    """uint8 ``[B, H, W, 3]`` (numpy) of finite images ``[B, 3, H, W]`` in 0..1."""
    return images.float().permute(0, 2, 3, 1).mul(255).round().clamp(0, 255).byte().cpu().numpy()


def finite(images: torch.Tensor) -> list[bool]:
    """Of each image ``[B, ...]`` whether all its values are numbers: a cast to uint8 would show the others black."""
    import torch

    return torch.isfinite(images).flatten(1).all(dim=1).tolist()


def _replaced(vae: Model | None) -> dict[str, Any]:
    return {"vae": load_vae(vae)} if vae else {}


def _denoiser(
    key: tuple[Hashable, ...], family: Family, load: Callable[[], Any], scheduler: Scheduler, runtime: Runtime
) -> Denoiser:
    def first() -> Denoiser:
        with loading(*(part for part in key if isinstance(part, Model))):
            pipe = _ready(load(), runtime)
        return Denoiser(pipe, family, runtime, pipe)

    name = (*key, runtime.model_dump_json())
    shared: Denoiser = shared_instance(name, first)

    def own() -> Denoiser:
        parts = dict(shared.pipe.components)
        for name in parts:
            if name.startswith("tokenizer"):
                # a call leaves its padding behind in the tokenizer, where another thread's call would find it
                parts[name] = copy.deepcopy(parts[name])
        parts["scheduler"] = make_scheduler(scheduler, shared.pipe.scheduler.config)
        pipe = type(shared.pipe)(**parts, **family.OPTIONS)
        pipe.set_progress_bar_config(disable=True)
        return Denoiser(pipe, family, runtime, shared.pipe, shared._prompts, shared._latents)

    return per_thread((*name, scheduler.model_dump_json()), own)


def _ready(pipe: Any, runtime: Runtime) -> Any:
    """A loaded pipeline, laid out for speed; on the device, unless it waits there for its turn."""
    import torch

    prepare()
    if runtime.resident == "all":
        pipe.to(device())
    for name, part in pipe.components.items():
        if not isinstance(part, torch.nn.Module):
            continue
        part.eval().requires_grad_(False)
        # the autoencoder decodes a quarter faster so; UNets gain from it on GPUs only
        if name == "vae" or (device().type == "cuda" and name in ("unet", "controlnet")):
            part.to(memory_format=torch.channels_last)
    if runtime.vae_slicing:
        pipe.vae.enable_slicing()
    if runtime.compile:
        pipe.unet.compile()
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
