"""The one training loop that all the small models share: AdamW, warm-up, decay at the end, EMA, checkpoints, resume."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

logger = logging.getLogger(__name__)

Losses = dict[str, Tensor]


@dataclass(frozen=True)
class Recipe:
    """How one model is trained; the shipped values stand in each module and in ``weights/README.md``.

    ``decay`` is the share of the steps, at the end, over which the learning rate falls to zero.
    ``mixed_precision`` computes forward passes in bfloat16 where that is safe and the CPU has instructions for it
    (where it has none, bfloat16 is many times slower); weights stay float32.
    ``compile`` lets torch compile the model: minutes at the start (and whenever shapes change), less in every step.
    """

    steps: int
    batch_size: int
    learning_rate: float
    seed: int = 0
    warmup: int = 200
    decay: float = 0.3
    weight_decay: float = 0.01
    ema: float = 0.999
    clip: float = 1.0
    mixed_precision: bool = False
    compile: bool = False
    checkpointing_steps: int = 250

    def rate(self, step: int) -> float:
        """Learning rate at a step, counted from 0."""
        up = min(1.0, (step + 1) / self.warmup)
        down = min(1.0, (self.steps - step) / max(1.0, self.decay * self.steps))
        return self.learning_rate * up * down


def fit(
    name: str,
    model: nn.Module,
    losses: Callable[[nn.Module, torch.Generator], Losses],
    recipe: Recipe,
    work_dir: Path,
    on_checkpoint: Callable[[nn.Module], str] | None = None,
) -> nn.Module:
    """Trains ``model`` in place of a checkpoint if there is one, and returns its averaged (EMA) copy.

    Every step draws from its own generator, seeded by (recipe.seed, step), so that a run that was stopped and
    resumed sees the same data as an unbroken one.

    Args:
        name: Names the checkpoint file ``work_dir/NAME.pt`` and the log lines.
        losses: Gives named losses of one step; they are summed.
        on_checkpoint: Called with the EMA model at each checkpoint; what it returns is logged.
    """
    average = copy.deepcopy(model).requires_grad_(False).eval()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        trained, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, betas=(0.9, 0.98), fused=True
    )
    path = work_dir / f"{name}.pt"
    first = _resume(path, model, average, optimizer)
    model.train()
    run = torch.compile(model) if recipe.compile else model
    half = recipe.mixed_precision and torch.cpu._is_avx512_bf16_supported()
    begun = time.monotonic()
    seen: dict[str, float] = {}
    for step in range(first, recipe.steps):
        generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + step)
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate(step)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            parts = losses(run, generator)
        total = torch.stack(list(parts.values())).sum()
        if not torch.isfinite(total):
            raise FloatingPointError(f"{name}: the loss is not finite at step {step}; last checkpoint: {path}")
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(trained, recipe.clip)
        optimizer.step()
        _average(average, model, min(recipe.ema, (1 + step) / (10 + step)))
        for key, value in parts.items():
            seen[key] = 0.95 * seen.get(key, value.item()) + 0.05 * value.item()
        if (step + 1) % 50 == 0:
            pace = (time.monotonic() - begun) / (step + 1 - first)
            text = " ".join(f"{key} {value:.4f}" for key, value in seen.items())
            left = pace * (recipe.steps - step - 1) / 60
            logger.info("%s %d/%d %s | %.2f s a step, %.0f min left", name, step + 1, recipe.steps, text, pace, left)
        if (step + 1) % recipe.checkpointing_steps == 0 or step + 1 == recipe.steps:
            _save(path, step + 1, model, average, optimizer)
            if on_checkpoint is not None:
                logger.info("%s %d: %s", name, step + 1, on_checkpoint(average))
    return average


@torch.no_grad()
def _average(average: nn.Module, model: nn.Module, keep: float) -> None:
    for mine, theirs in zip(average.parameters(), model.parameters(), strict=True):
        mine.lerp_(theirs, 1 - keep)
    for mine, theirs in zip(average.buffers(), model.buffers(), strict=True):
        mine.copy_(theirs)


def _save(path: Path, step: int, model: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {
        "step": step,
        "model": model.state_dict(),
        "average": average.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    temporary.replace(path)


def _resume(path: Path, model: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    average.load_state_dict(state["average"])
    optimizer.load_state_dict(state["optimizer"])
    logger.info("resumed %s at step %d", path, state["step"])
    return int(state["step"])
