"""Figures as PNG: interference (1), recontextualisation (5), subject editing (6-8), efficiency, strength."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.paper.plan import Run
from benchmarks.paper.tables import Results, curve, scale_curve
from pipeline import store
from spotdiff_model.evaluation.evaluation import PICTURES
from spotdiff_model.evaluation.metrics import (
    BACKGROUND,
    COPY_BACKGROUND,
    COPY_POSE,
    KEPT,
    LOOK_ALIKES,
    PAIRWISE,
    POSE,
    R1,
    SSR,
    generation_key,
)
from spotdiff_model.evaluation.report.plots import curves, grouped_bars, picture_grid

_COLUMNS = 6
_EDITED = (6, 7, 8)
"""Numbers of the figures that show subject editing, a subject each."""


def draw_all(results: Results, efficiency: Results, scales: Results, folder: Path, pictures: int) -> list[Path]:
    """Writes every figure for which there is something to show; returns their paths.

    Args:
        results, efficiency, scales: Of these parts of the plan.
        folder: Gets the figures.
        pictures: Of the training split.
    """
    drawn = {"figure1": _interference(results)}
    lines = _requests(folder)
    shown = [(run, folder / run.folder / "evaluation" / PICTURES) for run, _ in results if run.seed == 0]
    scenes = [line for line in lines if line["part"] != "edit"][:_COLUMNS]
    drawn["figure5"] = _rows(shown, scenes, folder)
    edits: dict[str, list[Any]] = {}
    for line in lines:
        if line["part"] == "edit":
            edits.setdefault(line["subject"], []).append(line)
    for number, asked in zip(_EDITED, edits.values(), strict=False):
        drawn[f"figure{number}"] = _rows(shown, asked[:_COLUMNS], folder)
    for metric, name in (
        (R1, "efficiency-r1"),
        (PAIRWISE, "efficiency-pairwise"),
        (SSR, "efficiency-ssr"),
        (POSE, "efficiency-pose"),
        (BACKGROUND, "efficiency-background"),
    ):
        points = curve(efficiency, metric, pictures)
        if points:
            named = {
                f"{method}, {factor.removesuffix('_id')}s cut": values for (method, factor), values in points.items()
            }
            drawn[name] = curves(named, "training pictures", metric.column)
    for metric, name in (
        (KEPT, "scale-kept"),
        (LOOK_ALIKES, "scale-look-alikes"),
        (COPY_BACKGROUND, "scale-copy-background"),
        (COPY_POSE, "scale-copy-pose"),
    ):
        strengths = scale_curve(scales, metric)
        if strengths:
            drawn[name] = curves(strengths, "strength of the subject", metric.column)
    paths = []
    for name, png in drawn.items():
        if png:
            store.write_bytes(str(folder / f"{name}.png"), png)
            paths.append(folder / f"{name}.png")
    return paths


def _interference(results: Results) -> bytes | None:
    """What of pose and background is in the features, and what of them is copied into pictures."""
    if not results:
        return None
    keys = {
        POSE.column: POSE.key,
        "background read": BACKGROUND.key,
        "pose copied": generation_key("new_pose", "pose_copy_rate"),
        "background copied": generation_key("new_background", "background_copy_rate"),
        "attributes kept": KEPT.key,
    }
    values: dict[str, dict[str, float]] = {}
    for run, found in results:
        metrics = found["methods"][found["evaluated"]]["metrics"]
        if run.seed == 0:
            values[run.name] = {title: metrics[key]["mean"] for title, key in keys.items() if key in metrics}
    return grouped_bars(values, list(keys), "Interference of pose and background")


def _rows(shown: Sequence[tuple[Run, Path]], asked: Sequence[Any], folder: Path) -> bytes | None:
    """One row a method; the same reference, prompt and seed in each column; None where no method's are there."""
    if not asked:
        return None
    base = folder / "requests"
    rows = [("references", [(line["subject"], Image.open(base / line["reference"])) for line in asked])]
    for run, pictures in shown:
        paths = [pictures / f"{line['id']}.png" for line in asked]
        if all(path.is_file() for path in paths):
            captions = [line["prompt"] for line in asked]
            rows.append((run.name, [(said, Image.open(path)) for said, path in zip(captions, paths, strict=True)]))
    return picture_grid(rows) if len(rows) > 1 else None


def _requests(folder: Path) -> list[Any]:
    text = (folder / "requests" / "requests.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]
