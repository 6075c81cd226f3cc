"""First step of ``variations``: new backgrounds behind a subject, by an inpainting model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from PIL import Image

from pipeline import ids
from pipeline.banks import Bank
from pipeline.config import BackgroundSettings, Runtime, Scheduler
from pipeline.imaging.paste import kept_area, paste, seam, seam_step
from pipeline.imaging.phash import phash
from pipeline.models.resolve import Model
from pipeline.records import Reason, Subject, Variation
from pipeline.stages import pictures
from pipeline.stages.base import AS_USUAL, NOT_FINITE, joined, made_with

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
        vae: Replaces the inpainting model's autoencoder, or None.
        runtime: How the model is run.
    """

    backgrounds: BackgroundSettings
    inpaint: Model
    scheduler: Scheduler
    bank: Bank
    count: int
    seed: int
    vae: Model | None = None
    runtime: Runtime = AS_USUAL

    name: ClassVar[str] = "inpaint_backgrounds"
    version: ClassVar[int] = 3
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

        denoiser = background_denoiser(self.inpaint, self.scheduler, self.vae, self.runtime)
        inputs = {row.subject_id: _Inpainting(row, self.backgrounds.mask_margin) for row in rows}
        ours = [inputs[row.subject_id] for row in rows]
        guided = self.backgrounds.guidance_scale > 1
        negatives = [row.negative_prompt for row in rows] if guided else None
        with denoiser.turn():
            latents = {name: denoiser.encode(one.key, one.masked) for name, one in inputs.items()}
            return denoiser.denoise(
                seeds=[self._seed(row) for row in rows],
                **denoiser.embed([row.prompt for row in rows], negatives),
                **denoiser.family.background_arguments(
                    torch.cat([one.pixels for one in ours]),
                    torch.stack([torch.from_numpy(~one.kept).float()[None] for one in ours]),
                    torch.cat([latents[row.subject_id] for row in rows]),
                    self.backgrounds,
                ),
            )

    def finish(self, rows: Sequence[Variation], made: torch.Tensor) -> list[Variation]:
        from pipeline.models.diffusion import finite, pixels_of

        whole = finite(made)
        subjects = {row.subject_id: self._subject(row) for row in rows}
        painted = iter(pixels_of(made[whole]))
        seeded = [replace(row, background_seed=self._seed(row)) for row in rows]
        pasted = [
            self._pasted(row, subjects[row.subject_id], next(painted))
            for row, good in zip(seeded, whole, strict=True)
            if good
        ]
        pngs = pictures.encode([image for _, image in pasted])
        done = iter([_with(row, image, png) for (row, image), png in zip(pasted, pngs, strict=True)])
        return [
            next(done) if good else row.reject(Reason.DEGENERATE, NOT_FINITE)
            for row, good in zip(seeded, whole, strict=True)
        ]

    def settings(self) -> dict[str, Any]:
        return {
            "backgrounds": self.backgrounds.model_dump(exclude={"scheduler"}),
            "inpaint": self.inpaint.identity(),
            **made_with(self.vae, self.runtime),
            "scheduler": self.scheduler.model_dump(),
            "bank": self.bank.digest,
            "count": self.count,
            "seed": self.seed,
        }

    def _subject(self, row: Variation) -> tuple[np.ndarray, np.ndarray]:
        """The subject's pixels and their weights."""
        margin = (
            self.backgrounds.mask_margin if self.backgrounds.paste_margin is None else self.backgrounds.paste_margin
        )
        area = kept_area(pictures.mask(row.mask), margin)
        return pictures.pixels(row.subject_image), seam(area, self.backgrounds.feather)

    def _pasted(
        self, row: Variation, subject: tuple[np.ndarray, np.ndarray], painted: np.ndarray
    ) -> tuple[Variation, np.ndarray]:
        pixels, weight = subject
        return replace(row, seam=seam_step(pixels, painted, weight)), paste(pixels, painted, weight)

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
        self.kept = kept_area(pictures.mask(row.mask), margin)
        self.pixels = torch.from_numpy(pictures.pixels(row.subject_image).copy()).permute(2, 0, 1)[None] / 255

    def masked(self) -> torch.Tensor:
        """``[1, 3, H, W]`` in -1..1 with what is to be repainted at 0 (grey), as the pipeline itself would make it."""
        import torch

        return (self.pixels * 2 - 1) * torch.from_numpy(self.kept)


def _with(row: Variation, image: np.ndarray, png: bytes) -> Variation:
    """The row with its picture."""
    return replace(row, image=png, sha256=hashlib.sha256(png).hexdigest(), phash=phash(Image.fromarray(image)))
