"""Tables as Markdown, from the ``metrics.json`` of the runs: mean over seeds, spread, error clustered by subject."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.paper.plan import Run
from spotdiff_model.evaluation.metrics import METRICS, Metric

Results = Sequence[tuple[Run, Mapping[str, Any]]]


def table(results: Results, *, reads: bool = False) -> str:
    """One row a name; the bounds and untrained baselines that the first evaluation brought along come last.

    Args:
        results: Runs with their metrics.
        reads: Whether to say what training reads, and what it cost.
    """
    rows: dict[str, list[tuple[Run, Mapping[str, Any]]]] = {}
    for run, found in results:
        rows.setdefault(run.row, []).append((run, found))
    lines = {name: [_own(found) for _, found in group] for name, group in rows.items()}
    extra = {
        str(method["title"]): [method["metrics"]]
        for _, found in results
        for name, method in found["methods"].items()
        if name != found["evaluated"]
    }
    columns = [m for m in METRICS if m.column and any(m.key in each for group in lines.values() for each in group)]
    head = ["", "trainings", *(["reads in training", "steps", "UNet passes", "seconds, MB a subject"] if reads else [])]
    head += [f"{metric.column} {'↓' if metric.better == 'lower' else '↑'}" for metric in columns]
    out = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name, group in {**lines, **extra}.items():
        told = _told(rows.get(name), reads)
        count = str(len(rows[name])) if name in rows else "–"
        out.append("| " + " | ".join([name, count, *told, *(_value(group, metric) for metric in columns)]) + " |")
    return "\n".join(out)


def curve(results: Results, metric: Metric, whole: int) -> dict[tuple[str, str], list[tuple[int, float]]]:
    """Of the efficiency sweep: (pictures, value, the mean over seeds) by method and factor.

    Args:
        results: Runs with their metrics.
        metric: To be drawn.
        whole: Pictures of the training split: the last point of each curve.
    """
    found: dict[tuple[str, str], dict[int, list[float]]] = {}
    factors = sorted({run.factor for run, _ in results if run.factor})
    for run, metrics in results:
        value = _own(metrics).get(metric.key, {}).get("mean")
        for factor in [run.factor] if run.factor else factors:
            if value is not None:
                at = found.setdefault((run.name, factor), {})
                at.setdefault(run.size or whole, []).append(float(value))
    return {key: [(size, float(np.mean(at[size]))) for size in sorted(at)] for key, at in found.items()}


def scale_curve(results: Results, metric: Metric) -> dict[str, list[tuple[float, float]]]:
    """(strength of the subject, value) by method."""
    found: dict[str, list[tuple[float, float]]] = {}
    for run, metrics in results:
        value = _own(metrics).get(metric.key, {}).get("mean")
        if run.scale is not None and value is not None:
            found.setdefault(run.method, []).append((run.scale, float(value)))
    return {method: sorted(points) for method, points in found.items()}


def _own(found: Mapping[str, Any]) -> Mapping[str, Any]:
    own: Mapping[str, Any] = found["methods"][found["evaluated"]]["metrics"]
    return own


def _told(group: Sequence[tuple[Run, Mapping[str, Any]]] | None, reads: bool) -> list[str]:
    if not reads:
        return []
    if not group:
        return ["–"] * 4
    run, found = group[0]
    contestant = found["protocol"].get("contestant", {})
    costs = contestant.get("costs", {})
    fitted = ""
    if contestant.get("subjects"):
        fitted = f"{contestant['seconds_a_subject']:.1f} s, {contestant['megabytes_a_subject']:.2f} MB"
    steps = costs.get("steps", contestant.get("max_train_steps", "–"))
    return [", ".join(run.reads) or "–", str(steps), str(costs.get("unet_passes", "–")), fitted or "–"]


def _value(group: Sequence[Mapping[str, Any]], metric: Metric) -> str:
    means = [each[metric.key]["mean"] for each in group if metric.key in each]
    if not means:
        return "–"
    errors = [each[metric.key].get("error") for each in group if metric.key in each]
    known = [error for error in errors if error is not None]
    spread = f" ± {np.std(means, ddof=1):.3f}" if len(means) > 1 else ""
    return f"{np.mean(means):.3f}{spread}" + (f" (se {np.mean(known):.3f})" if known else "")
