"""How the bare diffusers pipelines are called for a build's rows: the measure of what a build reaches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import ImageOps

from pipeline.imaging.png import from_png

Rows = Sequence[Any]


def subject_call(pipe: Any, rows: Rows, settings: Any, generators: list[Any]) -> None:
    """One batch of subjects of one source."""
    pipe(
        prompt=[settings.prompt_template.format(subject=row.subject_prompt) for row in rows],
        negative_prompt=[row.subject_negative_prompt for row in rows],
        image=from_png(rows[0].control),
        num_inference_steps=settings.num_inference_steps,
        guidance_scale=settings.guidance_scale,
        controlnet_conditioning_scale=settings.controlnet_conditioning_scale,
        generator=generators,
    )


def background_call(pipe: Any, rows: Rows, settings: Any, generators: list[Any]) -> None:
    """One batch of backgrounds of one subject."""
    images = [from_png(row.subject_image) for row in rows]
    pipe(
        prompt=[row.prompt for row in rows],
        negative_prompt=[row.negative_prompt for row in rows],
        image=images,
        mask_image=[ImageOps.invert(from_png(row.mask)) for row in rows],
        height=images[0].height,
        width=images[0].width,
        num_inference_steps=settings.num_inference_steps,
        guidance_scale=settings.guidance_scale,
        generator=generators,
    )
