"""How a training is watched: progress bar, TensorBoard, the history of the losses and their curves."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

HISTORY = "losses.jsonl"
CURVES = "losses.png"


class Monitor:
    """Shows and keeps the losses; silent on all devices but the main one.

    Attributes:
        history: One entry per step: ``step``, ``loss``, its parts, ``learning_rate``.
    """

    def __init__(self, output_dir: Path, accelerator: Any, total: int) -> None:
        self.output_dir, self.accelerator, self.total = output_dir, accelerator, total
        self.history: list[dict[str, float]] = []
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        left = TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[losses]}")
        console = Console(stderr=True)
        self._bar = Progress(*columns, *left, console=console, disable=not accelerator.is_main_process)
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Monitor:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def preparing(self, what: str, done: int, of: int) -> None:
        """Shows how far the frozen features are."""
        if what not in self._tasks:
            self._tasks[what] = self._bar.add_task(what, total=of, losses="")
        self._bar.update(self._tasks[what], completed=done)

    def begin(self, done: int) -> None:
        """Begins at a step; keeps of an earlier run's history what lies before it."""
        path = self.output_dir / HISTORY
        if done and path.is_file():
            entries = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
            self.history = [entry for entry in entries if entry["step"] <= done]
        if self.accelerator.is_main_process:
            path.write_text("".join(json.dumps(entry) + "\n" for entry in self.history), "utf-8")
        self._tasks["training"] = self._bar.add_task("training", total=self.total, completed=done, losses="")

    def step(self, number: int, losses: dict[str, float]) -> None:
        """Counts a finished step (from 1)."""
        entry = {"step": number, **losses}
        self.history.append(entry)
        self.accelerator.log(losses, step=number)
        if self.accelerator.is_main_process:
            with (self.output_dir / HISTORY).open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
        shown = " ".join(f"{name} {value:.3g}" for name, value in losses.items() if name != "learning_rate")
        self._bar.update(self._tasks["training"], completed=number, losses=shown)

    def draw_curves(self) -> None:
        """Writes the losses' curves as PNG."""
        if self.accelerator.is_main_process and self.history:
            draw(self.history, self.output_dir / CURVES)


def draw(history: list[dict[str, float]], path: Path) -> None:
    """One plot per loss: each step's value, and a running mean over a twentieth of the steps."""
    from matplotlib.figure import Figure

    curves: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for entry in history:
        for name, value in entry.items():
            if name != "step":
                curves[name].append((entry["step"], value))
    columns = min(3, len(curves))
    rows = math.ceil(len(curves) / columns)
    figure = Figure(figsize=(4 * columns, 2.6 * rows), layout="constrained")
    for axes, (name, points) in zip(figure.subplots(rows, columns, squeeze=False).flat, curves.items(), strict=False):
        steps, values = zip(*points, strict=True)
        span = max(1, len(values) // 20)
        means = [
            sum(values[max(0, at - span) : at + 1]) / len(values[max(0, at - span) : at + 1])
            for at in range(len(values))
        ]
        axes.plot(steps, values, linewidth=0.5, alpha=0.4)
        axes.plot(steps, means, linewidth=1.5)
        axes.set_title(name)
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=100)
