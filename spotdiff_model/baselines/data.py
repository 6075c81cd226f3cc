"""Batches for baselines: references with their masks, targets with their prompts, native or paired."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pipeline import ids
from spotdiff_model.baselines.config import BaselineConfig
from spotdiff_model.baselines.frozen import Frozen
from spotdiff_model.data.pairs import TrainingPairs
from spotdiff_model.data.rows import Rows, read_rows
from spotdiff_model.evaluation.probes.factors import Sample, read_sample
from spotdiff_model.placeholder import PLACEHOLDER


@dataclass(frozen=True, eq=False)
class Shown:
    """Pictures of subjects, and where in them the subjects are.

    Attributes:
        images: N, RGB.
        masks: ``[N, H, W]`` bool.
    """

    images: Sequence[Image.Image]
    masks: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def on(self, color: int) -> list[Image.Image]:
        """The subjects on one grey value: 0 black, 255 white."""
        return [
            Image.fromarray(np.where(mask[..., None], np.asarray(image), color).astype(np.uint8))
            for image, mask in zip(self.images, self.masks, strict=True)
        ]

    def patches(self, grid: int) -> Tensor:
        """How much of each patch is subject, ``[N, grid * grid]`` in 0..1, row by row."""
        masks = torch.from_numpy(np.ascontiguousarray(self.masks)).float()[:, None]
        return torch.nn.functional.adaptive_avg_pool2d(masks, grid).flatten(1)


@dataclass(frozen=True, eq=False)
class Batch:
    """B pairs of reference and target.

    Attributes:
        references, targets: The pictures.
        prompts: Of the targets, with ``S*`` for the subject.
        descriptions: Of the subjects, in the words of their bank.
        subjects, backgrounds: ``[B]`` numbers of the references' subjects and backgrounds.
        target_backgrounds: ``[B]``, of the targets.
        latents, noise, times: Of the targets: what the UNet is trained on.
    """

    references: Shown
    targets: Shown
    prompts: list[str]
    descriptions: list[str]
    subjects: Tensor
    backgrounds: Tensor
    target_backgrounds: Tensor
    latents: Tensor
    noise: Tensor
    times: Tensor


@dataclass
class TrainingData:
    """A split, drawn from by step; each batch is a function of the seed and its number alone."""

    frozen: Frozen
    sample: Sample
    pairs: TrainingPairs
    template: str
    seed: int
    _latents: dict[int, Tensor] = field(default_factory=dict)

    @classmethod
    def read(
        cls, config: BaselineConfig, frozen: Frozen, template: str, split: str, rows: Rows | None = None
    ) -> TrainingData:
        """A manifest's split.

        Raises:
            UserError: The manifest is not readable, or has no such rows.
        """
        rows = rows or read_rows(config.manifest)
        pairs = TrainingPairs(rows.of_split(split), config.seed, config.reference, augmentations=0)
        return cls(frozen, read_sample(config.manifest, split), pairs, template, config.seed)

    def batch(self, number: int, size: int) -> Batch:
        """The pairs of a step, counted from 0."""
        drawn = self.pairs.batch(number, size)
        references, targets = drawn.references, drawn.targets
        sample, device = self.sample, self.frozen.device
        latents = self._latents_of(targets)
        generator = torch.Generator().manual_seed(int(ids.digest(["noise", self.seed, number])[:15], 16))
        noise = torch.randn(latents.shape, generator=generator)
        steps = self.frozen.diffusion.scheduler.config.num_train_timesteps
        times = torch.randint(steps, (size,), generator=generator)
        return Batch(
            references=self.shown(references),
            targets=self.shown(targets),
            prompts=[
                self.template.format(subject=PLACEHOLDER, background=text)
                for text in sample.background_prompts[targets]
            ],
            descriptions=[str(text) for text in sample.subject_prompts[references]],
            subjects=torch.from_numpy(self.pairs.subject[references]).to(device),
            backgrounds=torch.from_numpy(self.pairs.background[references]).to(device),
            target_backgrounds=torch.from_numpy(self.pairs.background[targets]).to(device),
            latents=latents.to(device),
            noise=noise.to(device),
            times=times.to(device),
        )

    def shown(self, rows: np.ndarray) -> Shown:
        """The pictures of rows."""
        images = [Image.open(io.BytesIO(self.sample.images[row])).convert("RGB") for row in rows]
        masks = [np.asarray(Image.open(io.BytesIO(self.sample.masks[row])).convert("L")) > 127 for row in rows]
        return Shown(images, np.stack(masks))

    def _latents_of(self, rows: np.ndarray) -> Tensor:
        missing = [int(row) for row in dict.fromkeys(rows.tolist()) if int(row) not in self._latents]
        if missing:
            found = self.frozen.diffusion.latents(self.shown(np.asarray(missing)).images)
            self._latents.update(zip(missing, found.float().cpu(), strict=True))
        return torch.stack([self._latents[int(row)] for row in rows])
