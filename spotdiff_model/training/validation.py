"""Pictures that show what a training has learned: each row a subject, its reference first, then new backgrounds."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from spotdiff_model.config import TrainConfig, spoken_template
from spotdiff_model.placeholder import PLACEHOLDER
from spotdiff_model.training.setup import Prepared

_BACKGROUNDS = 4


def validation_pictures(prepared: Prepared, config: TrainConfig) -> Image.Image:
    """A sheet of ``num_validation_images`` subjects before backgrounds of the held-out rows.

    The training's own modules are used as they are; they come back as they were.
    """
    from spotdiff_model.pipeline import SpotDiffPipeline

    rows = prepared.validation
    subjects, first = np.unique(rows.subject_id, return_index=True)
    chosen = first[np.linspace(0, len(subjects) - 1, min(config.num_validation_images, len(subjects))).astype(int)]
    prompts = sorted(set(rows.background_prompt.tolist()))[:_BACKGROUNDS]
    template = spoken_template(prepared.profile)
    texts = [template.format(subject=PLACEHOLDER, background=prompt) for prompt in prompts]
    encoder = prepared.encoder
    was_training = encoder.training
    encoder.eval()
    pipe = SpotDiffPipeline.around(encoder, copy.copy(prepared.diffusion), config.models_root)
    sheet: list[list[Image.Image]] = []
    for _, image in rows.images(chosen):
        generators = [torch.Generator().manual_seed(config.seed + number) for number in range(len(texts))]
        pseudo_tokens = pipe.subject_pseudo_tokens(image)
        sheet.append([image, *pipe(prompt=texts, pseudo_tokens=pseudo_tokens, generator=generators).images])
    encoder.train(was_training)
    return _sheet(sheet)


def save_pictures(prepared: Prepared, config: TrainConfig, output_dir: Path, step: int) -> np.ndarray:
    """Writes ``validation/step-N.png``; returns it as ``[H, W, 3]`` for TensorBoard."""
    sheet = validation_pictures(prepared, config)
    path = output_dir / "validation" / f"step-{step}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)
    return np.asarray(sheet)


def _sheet(rows: list[list[Image.Image]]) -> Image.Image:
    side, gap = rows[0][0].width, 4
    sheet = Image.new("RGB", ((side + gap) * len(rows[0]) + gap, (side + gap) * len(rows)), (255, 255, 255))
    for down, row in enumerate(rows):
        for across, image in enumerate(row):
            # the reference stands apart
            sheet.paste(
                image.resize((side, side)), ((side + gap) * across + (gap if across else 0), (side + gap) * down)
            )
    return sheet
