"""From requests to pictures, through ``SpotDiffPipeline``; and what the pictures are judged with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from pipeline import banks
from pipeline.config import Profile, UserError
from pipeline.imaging.skeleton import draw_pose
from pipeline.models.clip import Clip
from spotdiff_model.denoiser import Denoiser
from spotdiff_model.evaluation.generation.measures import Embed, PictureModels
from spotdiff_model.evaluation.generation.observe import Observer
from spotdiff_model.evaluation.generation.requests import Request
from tinyworld.judges.attributes import JUDGED, SIDE, grow_judges

if TYPE_CHECKING:
    from spotdiff_model.pipeline import SpotDiffPipeline

_BATCH = 16
PictureProgress = Callable[[int, int], None]
"""Told how many pictures are done, of how many."""


def generate(pipe: SpotDiffPipeline, requests: Sequence[Request], progress: PictureProgress) -> list[Image.Image]:
    """One picture per request, in order; each from the noise of its own seed, whatever shares its batch."""

    def make(asked: Sequence[Request], **arguments: Any) -> list[Image.Image]:
        images: list[Image.Image] = pipe(
            [request.reference for request in asked], [request.prompt for request in asked], **arguments
        ).images
        return images

    return in_batches(make, requests, pipe.encoder.config.sampling.line_width, progress)


def generate_from_text(denoiser: Denoiser, requests: Sequence[Request], progress: PictureProgress) -> list[Image.Image]:
    """The same requests with the subject's description instead of ``S*``: what the frozen models can do at all."""

    def make(asked: Sequence[Request], **arguments: Any) -> list[Image.Image]:
        negative = [denoiser.sampling.negative_prompt] * len(asked)
        return denoiser(prompt=[request.text_prompt for request in asked], negative_prompt=negative, **arguments)

    return in_batches(make, requests, denoiser.sampling.line_width, progress)


def in_batches(
    make: Callable[..., list[Image.Image]], requests: Sequence[Request], line_width: float, progress: PictureProgress
) -> list[Image.Image]:
    """One picture per request, in order.

    Args:
        make: Requests, one ``generator`` each and, where poses are asked for, their control pictures as ``pose``.
        requests: All of them; those with and those without a pose never share a batch.
        line_width: Of the control pictures' limbs.
        progress: Told after each batch.
    """
    import torch

    pictures: dict[int, Image.Image] = {}
    for posed in (False, True):
        places = [place for place, request in enumerate(requests) if (request.pose is not None) == posed]
        for start in range(0, len(places), _BATCH):
            batch = places[start : start + _BATCH]
            asked = [requests[place] for place in batch]
            control = [
                draw_pose(request.pose, request.reference.width, line_width)
                for request in asked
                if request.pose is not None
            ]
            generators = [torch.Generator("cpu").manual_seed(request.seed) for request in asked]
            images = make(asked, generator=generators, **({"pose": control} if posed else {}))
            pictures.update(zip(batch, images, strict=True))
            progress(len(pictures), len(requests))
    return [pictures[place] for place in range(len(requests))]


def picture_models(profile: Profile, clip: Clip, models_root: str | None, dino: str | None) -> PictureModels:
    """What a profile's pictures are looked at with.

    Args:
        profile: Its pose network and SAM; and whether it is of the miniature world (its bank's attributes tell).
        clip: Its CLIP.
        models_root: Folder in hub layout that stands in for the hub.
        dino: Folder or hub id of a DINO in transformers' layout; None: not measured.
    """
    known = {name for entry in banks.load(profile.subject_bank).entries for name in entry.attributes}
    miniature = known.issuperset(JUDGED) and profile.sources.size == SIDE
    return PictureModels(
        see=Observer(profile, models_root).see,
        clip=partial(embed_images, clip),
        text=clip.text_features,
        dino=load_dino(dino) if dino else None,
        pixels=grow_judges() if miniature else None,
    )


def embed_images(clip: Clip, images: Sequence[Image.Image]) -> np.ndarray:
    """Unit vectors ``[N, D]`` of pictures of any sizes."""
    return np.concatenate([clip.image_features(np.array(image)[None]) for image in images])


def load_dino(name: str) -> Embed:
    """DINO's class token as a unit vector.

    Raises:
        UserError: Its weights are not to be had.
    """
    import torch
    from transformers import AutoImageProcessor, AutoModel

    try:
        processor: Any = AutoImageProcessor.from_pretrained(name)
        model = AutoModel.from_pretrained(name, use_safetensors=True).eval()
    except (OSError, ValueError) as error:
        remedy = "name a folder in transformers' layout, or leave the option out"
        raise UserError(f"--dino {name}: not on this machine and not to be had from the hub; {remedy}") from error

    def embed(images: Sequence[Image.Image]) -> np.ndarray:
        parts = []
        for start in range(0, len(images), _BATCH):
            inputs = processor(images=list(images[start : start + _BATCH]), return_tensors="pt")
            with torch.inference_mode():
                parts.append(model(**inputs).last_hidden_state[:, 0])
        unit: np.ndarray = torch.nn.functional.normalize(torch.cat(parts).float(), dim=-1).numpy()
        return unit

    return embed
