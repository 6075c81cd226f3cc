"""How baselines are trained: one loop for all, with the costs counted."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers.optimization import get_cosine_schedule_with_warmup

from pipeline import store
from pipeline.config import UserError
from spotdiff_model.baselines.baseline import Baseline
from spotdiff_model.baselines.config import BaselineConfig, Saved
from spotdiff_model.baselines.data import TrainingData
from spotdiff_model.baselines.frozen import Frozen
from spotdiff_model.baselines.per_subject import PerSubject
from spotdiff_model.baselines.registry import CONFIG, WEIGHTS, method_class, save_baseline
from spotdiff_model.config import base_models, profile_of, sampling
from spotdiff_model.data.rows import Rows, check_trainable, read_rows

Say = Callable[[str], None]
_HISTORY = "losses.jsonl"
_PLACES = {"output_dir", "models_root", "manifest"}
"""Settings that bear on no weight."""


class NotFiniteError(UserError):
    """A training has gone astray."""


def train_baseline(config: BaselineConfig, say: Say) -> Path:
    """Trains a baseline, unless its folder holds the same training already.

    Returns:
        The output folder, for ``load_baseline`` and ``python -m spotdiff_model.evaluate --model``.

    Raises:
        UserError: The manifest cannot be trained on, or a model is not to be had.
        NotFiniteError: The loss is not finite.
    """
    folder = Path(config.output_dir)
    rows = read_rows(config.manifest)
    if _is_there(folder, config, rows.manifest.digest):
        say(f"{folder}: trained already")
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    baseline, data = prepare(config, rows)
    if isinstance(baseline, PerSubject):
        say(f"{baseline.title}: is trained on each subject when pictures are made")
        return save_baseline(baseline, folder)
    costs, history = run(baseline, data, say)
    store.write_bytes(str(folder / _HISTORY), "".join(json.dumps(entry) + "\n" for entry in history).encode())
    baseline.saved = baseline.saved.model_copy(update={"costs": costs})
    return save_baseline(baseline, folder)


def prepare(config: BaselineConfig, rows: Rows) -> tuple[Baseline, TrainingData]:
    """An untrained baseline and the pairs to train it on."""
    baseline = untrained(config, rows)
    return baseline, TrainingData.read(config, baseline.frozen, baseline.saved.prompt_template, "train", rows)


def untrained(config: BaselineConfig, rows: Rows) -> Baseline:
    """A baseline with its first weights, on frozen models of its own."""
    check_trainable(rows.of_split("train"))
    profile = profile_of(rows.manifest.footer, config.manifest)
    saved = Saved(
        config=config,
        models=base_models(profile),
        sampling=sampling(profile),
        prompt_template=profile.backgrounds.prompt_template,
        manifest_digest=rows.manifest.digest,
    )
    frozen = Frozen.load(saved.models, saved.sampling, config.models_root)
    torch.manual_seed(config.seed)
    return method_class(config.method)(saved, frozen).to(frozen.device)


def run(baseline: Baseline, data: TrainingData, say: Say) -> tuple[dict[str, Any], list[dict[str, float]]]:
    """All steps.

    Returns:
        What it cost, and the losses step by step.

    Raises:
        NotFiniteError: The loss is not finite.
    """
    config = baseline.config
    trained = list(baseline.trained().values())
    decay = config.adam_weight_decay
    optimizer = torch.optim.AdamW(trained, lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=decay)
    warmup = min(config.lr_warmup_steps, config.max_train_steps // 2)
    schedule = get_cosine_schedule_with_warmup(optimizer, warmup, config.max_train_steps)
    passes = {"unet_passes": 0, "unet_pictures": 0}

    def count(_: Any, arguments: tuple[Any, ...]) -> None:
        passes["unet_passes"] += 1
        passes["unet_pictures"] += len(arguments[0])

    hook = baseline.unet.register_forward_pre_hook(count)
    began, history = time.perf_counter(), []
    baseline.train()
    baseline.unet.eval()
    try:
        for step in range(config.max_train_steps):
            parts = baseline.loss(data.batch(step, config.train_batch_size), step)
            total = torch.stack(list(parts.values())).sum()
            if not math.isfinite(float(total.detach())):
                raise NotFiniteError(
                    f"training of {config.method}: the loss is not finite at step {step + 1}; try a lower "
                    f"--learning_rate (now {config.learning_rate:g})"
                )
            total.backward()
            for parameter in baseline.resting(step):
                parameter.grad = None
            torch.nn.utils.clip_grad_norm_(trained, config.max_grad_norm)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            history.append({"step": step + 1, **{name: float(value.detach()) for name, value in parts.items()}})
            if (step + 1) % max(1, config.max_train_steps // 10) == 0:
                shown = " ".join(f"{name} {value:.3g}" for name, value in history[-1].items() if name != "step")
                say(f"{config.method}: step {step + 1} of {config.max_train_steps}: {shown}")
    finally:
        hook.remove()
    costs = {
        "steps": config.max_train_steps,
        **passes,
        "seconds": round(time.perf_counter() - began, 2),
        "trained_parameters": sum(parameter.numel() for parameter in trained),
    }
    return costs, history


def _is_there(folder: Path, config: BaselineConfig, digest: str) -> bool:
    if not (folder / WEIGHTS).is_file():
        return False
    try:
        saved = Saved.model_validate_json((folder / CONFIG).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return saved.manifest_digest == digest and saved.config.model_dump(exclude=_PLACES) == config.model_dump(
        exclude=_PLACES
    )
