"""First step of ``variations``: new backgrounds behind a subject, by ``StableDiffusionInpaintPipeline``."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from PIL import Image

from pipeline import ids
from pipeline.banks import Bank
from pipeline.config import BackgroundSettings, Scheduler
from pipeline.imaging.paste import kept_area, paste, seam
from pipeline.imaging.phash import phash
from pipeline.imaging.png import from_png, to_png
from pipeline.models.resolve import Model
from pipeline.records import Subject, Variation
from pipeline.stages.base import joined

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class InpaintBackgrounds:
    """Repaints all but the subject, then pastes the subject's own pixels back.

    Attributes:
        backgrounds: Settings of the inpainting and of the seam.
        inpaint, scheduler: The models.
        bank: Where backgrounds come from.
        count: Backgrounds per subject; the same ones for all subjects of a source.
        seed: The run's.
    """

    backgrounds: BackgroundSettings
    inpaint: Model
    scheduler: Scheduler
    bank: Bank
    count: int
    seed: int

    name: ClassVar[str] = "inpaint_backgrounds"
    version: ClassVar[int] = 2
    row: ClassVar[type[Variation]] = Variation

    @property
    def batch_size(self) -> int:
        return self.backgrounds.batch_size

    def expand(self, rows: Sequence[Subject]) -> list[Variation]:
        return [
            row.grow(
                Variation,
                variation_id=ids.variation_id(row.source_id, row.subject_id, entry.id),
                background_id=entry.id,
                background_prompt=entry.prompt,
                prompt=self.backgrounds.prompt_template.format(subject=row.subject_prompt, background=entry.prompt),
                negative_prompt=joined(entry.negative_prompt, self.backgrounds.negative_prompt),
            )
            for row in rows
            for entry in self.bank.draw(row.split, self.count, row.source_id, self.seed)
        ]

    def denoise(self, rows: Sequence[Variation]) -> torch.Tensor:
        """Pictures ``[B, 3, H, W]`` in 0..1; the subject's place in them is the autoencoder's, not yet the original."""
        import torch

        from pipeline.models.diffusion import background_denoiser

        denoiser = background_denoiser(self.inpaint, self.scheduler)
        inputs = {row.subject_id: _Inpainting(row, self.backgrounds.mask_margin) for row in rows}
        ours = [inputs[row.subject_id] for row in rows]
        latents = {name: denoiser.encode(one.key, one.masked) for name, one in inputs.items()}
        guided = self.backgrounds.guidance_scale > 1
        size = ours[0].kept.shape[0]
        return denoiser.denoise(
            seeds=[self._seed(row) for row in rows],
            image=torch.cat([one.pixels for one in ours]),
            mask_image=torch.stack([torch.from_numpy(~one.kept).float()[None] for one in ours]),
            masked_image_latents=torch.cat([latents[row.subject_id] for row in rows]),
            height=size,
            width=size,
            strength=1.0,
            prompt_embeds=denoiser.embed([row.prompt for row in rows]),
            negative_prompt_embeds=denoiser.embed([row.negative_prompt for row in rows]) if guided else None,
            num_inference_steps=self.backgrounds.num_inference_steps,
            guidance_scale=self.backgrounds.guidance_scale,
        )

    def finish(self, rows: Sequence[Variation], made: torch.Tensor) -> list[Variation]:
        from pipeline.models.diffusion import pixels_of

        subjects = {row.subject_id: self._subject(row) for row in rows}
        return [
            self._pasted(row, subjects[row.subject_id], pixels)
            for row, pixels in zip(rows, pixels_of(made), strict=True)
        ]

    def settings(self) -> dict[str, Any]:
        return {
            "backgrounds": self.backgrounds.model_dump(),
            "inpaint": self.inpaint.identity(),
            "scheduler": self.scheduler.model_dump(),
            "bank": self.bank.digest,
            "count": self.count,
            "seed": self.seed,
        }

    def _subject(self, row: Variation) -> tuple[np.ndarray, np.ndarray]:
        """The subject's pixels and their weights."""
        kept = kept_area(_mask(row), self.backgrounds.mask_margin)
        return _pixels(row), seam(kept, self.backgrounds.feather)

    def _pasted(self, row: Variation, subject: tuple[np.ndarray, np.ndarray], painted: np.ndarray) -> Variation:
        pixels, weight = subject
        image = Image.fromarray(paste(pixels, painted, weight))
        png = to_png(image)
        return replace(
            row,
            image=png,
            sha256=hashlib.sha256(png).hexdigest(),
            phash=phash(image),
            background_seed=self._seed(row),
        )

    def _seed(self, row: Variation) -> int:
        return ids.seed_for(row.source_id, "variations", row.subject_id, row.background_id, row.attempt, self.seed)


class _Inpainting:
    """What the pipeline is given of one subject, the same for all its backgrounds.

    Attributes:
        kept: ``[H, W]`` bool, what is not repainted.
        pixels: ``[1, 3, H, W]`` in 0..1.
        key: Names picture and kept area.
    """

    def __init__(self, row: Variation, margin: float) -> None:
        import torch

        self.key = (row.subject_image, row.mask, margin)
        self.kept = kept_area(_mask(row), margin)
        self.pixels = torch.from_numpy(_pixels(row)).permute(2, 0, 1)[None] / 255

    def masked(self) -> torch.Tensor:
        """``[1, 3, H, W]`` in -1..1 with what is to be repainted at 0 (grey), as the pipeline itself would make it."""
        import torch

        return (self.pixels * 2 - 1) * torch.from_numpy(self.kept)


def _pixels(row: Variation) -> np.ndarray:
    assert row.subject_image is not None
    return np.array(from_png(row.subject_image))


def _mask(row: Variation) -> np.ndarray:
    assert row.mask is not None
    return np.asarray(from_png(row.mask)) > 127
