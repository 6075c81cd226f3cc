"""The learning rate of each method, found on validation subjects: the same five rates and the same judge for all."""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch

from pipeline import store
from pipeline.config import UserError
from spotdiff_model.baselines.baseline import Baseline
from spotdiff_model.baselines.config import BaselineConfig
from spotdiff_model.baselines.data import TrainingData
from spotdiff_model.baselines.per_subject import PerSubject
from spotdiff_model.baselines.training import NotFiniteError, Say, run, untrained
from spotdiff_model.data.rows import Rows, read_rows
from spotdiff_model.losses import noise_prediction

SEARCH = "search.json"
FACTORS = (0.1, 0.3, 1.0, 3.0, 10.0)
"""Of the method's own rate."""
_BATCHES, _PAIRS = 4, 8
"""Of the validation, with the same noise for everybody."""


def searched(
    config: BaselineConfig, say: Say, *, steps: int | None = None, batches: int | None = None
) -> BaselineConfig:
    """The config with the learning rate that does best on validation subjects; writes ``search.json``.

    Args:
        config: Of the training to come; its rate is the middle of those that are tried.
        say: Told the losses.
        steps: Of each trial; default: a third of the training's.
        batches: Of the validation; default: as all methods have it.

    Raises:
        UserError: No rate of the five trains.
    """
    rows = read_rows(config.manifest)
    found: list[dict[str, float | None]] = []
    able: dict[float, float] = {}
    shared: tuple[TrainingData, TrainingData] | None = None  # all rates learn from the same pictures, read once
    for factor in FACTORS:
        rate = config.learning_rate * factor
        trial = config.model_copy(
            update={"learning_rate": rate, "max_train_steps": steps or max(1, config.max_train_steps // 3)}
        )
        baseline = untrained(trial, rows)
        shared = shared or _pictures(trial, baseline, rows)
        data, held_out = shared
        loss = _trial(baseline, data, held_out, batches or _BATCHES)
        finite = math.isfinite(loss)
        say(f"{config.method}: learning rate {rate:.2g}: validation loss {f'{loss:.4f}' if finite else 'not finite'}")
        found.append({"learning_rate": rate, "validation_loss": loss if finite else None})
        if finite:
            able[loss] = rate
    store.write_bytes(str(Path(config.output_dir) / SEARCH), (json.dumps(found, indent=1) + "\n").encode())
    if not able:
        raise UserError(f"search for {config.method}: no learning rate of {config.learning_rate:g} x {FACTORS} trains")
    return config.model_copy(update={"learning_rate": able[min(able)]})


def _pictures(config: BaselineConfig, baseline: Baseline, rows: Rows) -> tuple[TrainingData, TrainingData]:
    """To train on, and of validation subjects."""
    frozen, template = baseline.frozen, baseline.saved.prompt_template
    paired = config.model_copy(update={"reference": "other"})
    return (
        TrainingData.read(config, frozen, template, "train", rows),
        TrainingData.read(paired, frozen, template, "validation", rows),
    )


def _trial(baseline: Baseline, data: TrainingData, held_out: TrainingData, batches: int) -> float:
    """The validation loss after a training; infinite where that goes astray."""
    try:
        if not isinstance(baseline, PerSubject):
            run(baseline, data, lambda _: None)
    except NotFiniteError:
        return math.inf
    return validation_loss(baseline, held_out, batches)


def validation_loss(baseline: Baseline, data: TrainingData, batches: int) -> float:
    """Noise prediction of other pictures of validation subjects, told of one; the noise is the same for all methods."""
    baseline.eval()
    losses: list[torch.Tensor] = []
    for number in range(batches):
        if isinstance(baseline, PerSubject):
            losses.append(_fitted_loss(baseline, data, number))
            continue
        batch = data.batch(number, _PAIRS)
        with torch.no_grad():
            condition = baseline.condition(batch.references, batch.prompts)
            losses.append(noise_prediction(baseline.denoise(batch, condition), baseline.wanted(batch)))
    return float(torch.stack(losses).mean())


def _fitted_loss(baseline: PerSubject, data: TrainingData, number: int) -> torch.Tensor:
    """Of one subject, on which it is trained first."""
    batch = data.batch(number, 2)
    baseline.fit(batch.references.images[:1], f"validation {number}")
    one = slice(0, 1)
    noisy = baseline.frozen.diffusion.scheduler.add_noise(batch.latents[one], batch.noise[one], batch.times[one])
    with torch.no_grad():
        states = baseline.states(batch.prompts[one])
        predicted = baseline.unet(noisy, batch.times[one], encoder_hidden_states=states).sample
    return noise_prediction(predicted, baseline.wanted(batch)[one])
