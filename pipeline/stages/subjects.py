"""First step of ``subjects``: new figures in a source's pose, by a diffusion model with a ControlNet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from pipeline import ids
from pipeline.banks import Bank
from pipeline.config import Runtime, Scheduler, SubjectSettings
from pipeline.models.resolve import Model
from pipeline.records import Posed, Reason, Subject
from pipeline.stages import pictures
from pipeline.stages.base import AS_USUAL, NOT_FINITE, joined, made_with

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class GenerateSubjects:
    """Draws identities from the bank and generates each in the source's pose.

    Attributes:
        subjects: Settings of the generation.
        base, controlnet, scheduler: The models.
        bank: Where identities come from.
        count: Identities per source.
        seed: The run's.
        vae: Replaces the base model's autoencoder, or None.
        runtime: How the models are run.
    """

    subjects: SubjectSettings
    base: Model
    controlnet: Model
    scheduler: Scheduler
    bank: Bank
    count: int
    seed: int
    vae: Model | None = None
    runtime: Runtime = AS_USUAL

    name: ClassVar[str] = "generate_subjects"
    version: ClassVar[int] = 1
    row: ClassVar[type[Subject]] = Subject

    @property
    def batch_size(self) -> int:
        return self.subjects.batch_size

    def expand(self, rows: Sequence[Posed]) -> list[Subject]:
        return [
            row.grow(
                Subject,
                source_image=None,
                subject_id=entry.id,
                subject_prompt=entry.prompt,
                subject_negative_prompt=joined(entry.negative_prompt, self.subjects.negative_prompt),
            )
            for row in rows
            for entry in self.bank.draw(row.split, self.count, row.source_id, self.seed)
        ]

    def denoise(self, rows: Sequence[Subject]) -> torch.Tensor:
        """Pictures ``[B, 3, H, W]`` in 0..1 for a batch of one source."""
        import torch

        from pipeline.models.diffusion import subject_denoiser

        assert rows[0].control is not None
        assert len({row.control for row in rows}) == 1, "a batch has one source's pose"
        denoiser = subject_denoiser(self.base, self.controlnet, self.scheduler, self.vae, self.runtime)
        control = torch.from_numpy(pictures.pixels(rows[0].control).copy()).permute(2, 0, 1)[None] / 255
        guided = self.subjects.guidance_scale > 1
        negatives = [row.subject_negative_prompt for row in rows] if guided else None
        with denoiser.turn():
            return denoiser.denoise(
                seeds=[self._seed(row) for row in rows],
                **denoiser.embed([self._prompt(row) for row in rows], negatives),
                **denoiser.family.subject_arguments(control, self.subjects),
            )

    def finish(self, rows: Sequence[Subject], made: torch.Tensor) -> list[Subject]:
        from pipeline.models.diffusion import finite, pixels_of

        whole = finite(made)
        pngs = iter(pictures.encode(list(pixels_of(made[whole]))))
        return [
            replace(row, subject_image=next(pngs), subject_seed=self._seed(row))
            if good
            else replace(row, subject_seed=self._seed(row)).reject(Reason.DEGENERATE, NOT_FINITE)
            for row, good in zip(rows, whole, strict=True)
        ]

    def settings(self) -> dict[str, Any]:
        return {
            "subjects": self.subjects.model_dump(exclude={"scheduler"}),
            "base": self.base.identity(),
            "controlnet": self.controlnet.identity(),
            **made_with(self.vae, self.runtime),
            "scheduler": self.scheduler.model_dump(),
            "bank": self.bank.digest,
            "count": self.count,
            "seed": self.seed,
        }

    def _prompt(self, row: Subject) -> str:
        return self.subjects.prompt_template.format(subject=row.subject_prompt)

    def _seed(self, row: Subject) -> int:
        return ids.seed_for(row.source_id, "subjects", row.subject_id, "", row.subject_attempt, self.seed)
