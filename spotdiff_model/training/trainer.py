"""The training loop, on accelerate."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from diffusers.optimization import SchedulerType, get_scheduler
from torch import Tensor

from pipeline import store
from pipeline.config import UserError
from spotdiff_model.config import TrainConfig
from spotdiff_model.data.pairs import Pairs
from spotdiff_model.training import checkpoints
from spotdiff_model.training.finish import fit_removal, save_encoder
from spotdiff_model.training.lora import add_lora, lora_parameters
from spotdiff_model.training.monitor import Monitor
from spotdiff_model.training.objective import Objective, Step
from spotdiff_model.training.setup import Prepared, prepare
from spotdiff_model.training.validation import save_pictures

logger = logging.getLogger(__name__)
CONFIG = "train_config.json"


def train(config: TrainConfig) -> Path:
    """Trains an encoder.

    Args:
        config: Everything; a finished training with the same config gives the same weights.

    Returns:
        The output folder, for ``SpotDiffEncoder.from_pretrained``.

    Raises:
        UserError: The manifest cannot be trained on, the checkpoint is not this training's, or a loss is not finite.
    """
    output_dir = Path(config.output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    accelerator = Accelerator(
        gradient_accumulation_steps=config.gradient_accumulation_steps,
        mixed_precision=config.mixed_precision,
        log_with=None if config.report_to == "none" else config.report_to,
        project_dir=str(output_dir / "logs"),
        # the removal's moments are the same everywhere: all devices make them of the whole batch
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True, broadcast_buffers=False)],
    )
    with Monitor(output_dir, accelerator, config.max_train_steps) as monitor:
        with accelerator.main_process_first():  # the others find the caches filled
            prepared = prepare(config, monitor.preparing)
        if accelerator.is_main_process:
            store.write_bytes(str(output_dir / CONFIG), config.model_dump_json(indent=1).encode())
        if config.report_to != "none":
            accelerator.init_trackers("spotdiff", config=_flat(config))
        _Loop(config, prepared, accelerator, monitor, output_dir).run()
    accelerator.end_training()
    return output_dir


class _Loop:
    def __init__(
        self, config: TrainConfig, prepared: Prepared, accelerator: Accelerator, monitor: Monitor, output_dir: Path
    ) -> None:
        self.config, self.prepared, self.accelerator = config, prepared, accelerator
        self.monitor, self.output_dir = monitor, output_dir
        unet = prepared.diffusion.unet
        add_lora(unet, config.lora_rank)
        self.parameters = [*prepared.encoder.parameters(), *lora_parameters(unet)]
        optimizer = torch.optim.AdamW(
            self.parameters, lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=config.adam_weight_decay
        )
        self.schedule = _schedule(config, optimizer)
        self.encoder, self.optimizer = accelerator.prepare(prepared.encoder.train(), optimizer)
        if config.lora_rank:
            unet = accelerator.prepare(unet)
        accelerator.register_for_checkpointing(self.schedule)
        template = prepared.profile.backgrounds.prompt_template
        words = prepared.encoder.config.num_words
        self.objective = Objective(config, prepared.features, prepared.diffusion, unet, words, template)
        self.pairs = Pairs(prepared.features.rows, config.seed, config.reference, config.views)

    def run(self) -> None:
        config, digest = self.config, self.prepared.features.rows.manifest.digest
        resumed = checkpoints.to_resume(self.output_dir, config.resume_from_checkpoint, config, digest)
        done = 0
        if resumed:
            self.accelerator.load_state(str(resumed[0]))
            done = resumed[1]
        else:
            checkpoints.remove_all(self.output_dir, self.accelerator)
        self.monitor.begin(done)
        for number in range(done + 1, config.max_train_steps + 1):
            self.monitor.step(number, self._step(number))
            if number % config.checkpointing_steps == 0 and number < config.max_train_steps:
                self._save_checkpoint(number)
                self.monitor.draw_curves()
            if config.validation_steps and number % config.validation_steps == 0:
                self._validate(number)
        self._finish()

    def _step(self, number: int) -> dict[str, float]:
        """One optimizer step; returns its losses, the mean over devices and accumulated batches."""
        config, accelerator = self.config, self.accelerator
        accumulated: dict[str, list[Tensor]] = {}
        for micro in range(config.gradient_accumulation_steps):
            at = (number - 1) * config.gradient_accumulation_steps + micro
            step = Step(at, accelerator.process_index, accelerator.num_processes)
            batch = self.pairs.batch(at, config.train_batch_size * step.world).part(step.rank, step.world)
            with accelerator.accumulate(self.encoder), accelerator.autocast():
                parts, spotted = self.objective.parts(self.encoder, batch, step)
                total = self.objective.total(parts)
                self._check(number, {**parts, "loss": total})
                accelerator.backward(total)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(self.parameters, config.max_grad_norm)
                self.optimizer.step()
                self.optimizer.zero_grad()
            removal = self.prepared.encoder.removal
            removal.update(spotted.raw_subject.detach(), spotted.interference[:, : removal.interference].detach())
            for name, value in {"loss": total, **parts}.items():
                accumulated.setdefault(name, []).append(value.detach())
        rate = self.schedule.get_last_lr()[0]
        self.schedule.step()
        means = torch.stack([torch.stack(values).mean() for values in accumulated.values()])
        means = accelerator.reduce(means, "mean").tolist()
        return {**dict(zip(accumulated, means, strict=True)), "learning_rate": rate}

    def _check(self, number: int, parts: dict[str, Tensor]) -> None:
        values = torch.stack([value.detach().float() for value in parts.values()])
        values = self.accelerator.reduce(values, "sum").tolist()
        wrong = [name for name, value in zip(parts, values, strict=True) if not math.isfinite(value)]
        if wrong:
            kept = checkpoints.checkpoints(self.output_dir)
            good = f"the last good checkpoint is {kept[-1]}" if kept else "there is no checkpoint yet"
            raise UserError(
                f"training: the loss {wrong[0]!r} is not finite at step {number}; {good}; try a lower --learning_rate "
                f"(now {self.config.learning_rate:g}) or --mixed_precision no"
            )

    def _save_checkpoint(self, number: int) -> None:
        digest = self.prepared.features.rows.manifest.digest
        checkpoints.save(
            self.accelerator, self.output_dir, number, self.config, digest, self.config.checkpoints_total_limit
        )

    def _validate(self, number: int) -> None:
        if not self.accelerator.is_main_process or not self.config.num_validation_images:
            return
        sheet = save_pictures(self.prepared, self.config, self.output_dir, number)
        for tracker in self.accelerator.trackers:
            if tracker.name == "tensorboard":
                tracker.writer.add_image("validation", sheet, number, dataformats="HWC")

    def _finish(self) -> None:
        last = self.config.max_train_steps
        self._save_checkpoint(last)
        fit_removal(self.prepared, self.config.train_batch_size * 2)
        self.monitor.draw_curves()
        if self.accelerator.is_main_process:
            history = self.monitor.history[-1] if self.monitor.history else {}
            save_encoder(self.prepared, self.config, self.output_dir, history)
        self._validate(last)


def _flat(config: TrainConfig) -> dict[str, Any]:
    values = json.loads(config.model_dump_json())
    return {
        name: value if isinstance(value, int | float | str | bool) else str(value) for name, value in values.items()
    }


def _schedule(config: TrainConfig, optimizer: Any) -> Any:
    try:
        kind = SchedulerType(config.lr_scheduler)
    except ValueError as error:
        known = ", ".join(sorted(kind.value for kind in SchedulerType))
        raise UserError(f"training: lr_scheduler: {config.lr_scheduler!r} is none of {known}") from error
    return get_scheduler(
        kind, optimizer, num_warmup_steps=config.lr_warmup_steps, num_training_steps=config.max_train_steps
    )
