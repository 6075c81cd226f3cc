"""metrics.json, report.html and the plots of an evaluation."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from pipeline import store
from spotdiff_model.evaluation.features import FACTORS
from spotdiff_model.evaluation.generation.measures import MEASURES
from spotdiff_model.evaluation.generation.requests import PARTS
from spotdiff_model.evaluation.metrics import BACKGROUND, METRICS, POSE, R1, Metric, dependence_key, generation_key
from spotdiff_model.evaluation.probes.dependence import COSINE_REMARK
from spotdiff_model.evaluation.report import plots
from spotdiff_model.evaluation.report.criteria import Criterion
from spotdiff_model.evaluation.scoring import Scores, leakage_table
from spotdiff_model.evaluation.untrained import RAW

_DEPENDENCE = ("distance_correlation", "p_value", "cosine")


@dataclass(frozen=True)
class EvaluationResult:
    """Everything a report says.

    Attributes:
        title: The judged model.
        data: Of the manifest: path, digest, split, rows, subjects, poses, backgrounds.
        protocol: How all of it was measured; JSON-able.
        ours: The judged encoder's scores.
        others: Baselines and ablations.
        criteria: What it must show.
        pictures: PNG of generated pictures, or None.
        more: Further results for metrics.json by name (DreamBench).
    """

    title: str
    data: Mapping[str, Any]
    protocol: Mapping[str, Any]
    ours: Scores
    others: Sequence[Scores]
    criteria: Sequence[Criterion]
    pictures: bytes | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def everybody(self) -> list[Scores]:
        """The judged encoder first."""
        return [self.ours, *self.others]


def write_report(result: EvaluationResult, folder: Path) -> None:
    """Writes ``metrics.json``, ``report.html`` (pictures inside) and the PNG plots."""
    drawn = _plots(result)
    for plot in drawn:
        store.write_bytes(str(folder / f"{plot['name']}.png"), plot["png"])
    store.write_bytes(str(folder / "metrics.json"), (json.dumps(_metrics(result), indent=1) + "\n").encode())
    store.write_bytes(str(folder / "report.html"), _html(result, drawn).encode())


def table_text(result: EvaluationResult) -> str:
    """The table as Markdown, for the terminal and for README files."""
    columns = _columns(result)
    lines = ["| | " + " | ".join(metric.column for metric in columns) + " |", "|---" * (len(columns) + 1) + "|"]
    lines.append("| chance | " + " | ".join(_number(_chance(result, metric)) for metric in columns) + " |")
    for scores in result.everybody:
        lines.append(f"| {scores.title} | " + " | ".join(_cell_text(scores, metric.key) for metric in columns) + " |")
    return "\n".join(lines)


def criteria_text(result: EvaluationResult) -> str:
    """What must be shown, as Markdown."""
    lines = ["| what | measured | must reach | aim | |", "|---|---|---|---|---|"]
    for line in result.criteria:
        lines.append(f"| {line.what} | {_number(line.measured)} | {line.must} | {line.aim} | {line.outcome} |")
    return "\n".join(lines)


def _metrics(result: EvaluationResult) -> dict[str, Any]:
    raw = _raw(result)
    return {
        "format": 3,
        "evaluated": result.ours.name,
        "model": result.title,
        "data": dict(result.data),
        "protocol": dict(result.protocol),
        "acceptance_criteria": [asdict(criterion) for criterion in result.criteria],
        "leakage": {kind: leakage_table(result.ours, raw, kind) for kind in ("linear", "mlp")},
        "methods": {scores.name: scores.summary() for scores in result.everybody},
        "remarks": {"cosine": COSINE_REMARK},
        **result.more,
    }


def _raw(result: EvaluationResult) -> list[Scores]:
    return [scores for scores in result.others if scores.name in RAW]


def _columns(result: EvaluationResult) -> list[Metric]:
    """Those that anybody has a value in."""
    return [
        metric
        for metric in METRICS
        if metric.column and any(scores.mean(metric.key) is not None for scores in result.everybody)
    ]


def _chance(result: EvaluationResult, metric: Metric) -> float | None:
    return result.ours.mean(metric.chance) if metric.chance else None


def _plots(result: EvaluationResult) -> list[dict[str, Any]]:
    found = []
    for kind, what in (("linear", "linear probes"), ("mlp", "small networks")):
        table = leakage_table(result.ours, _raw(result), kind)
        if table:
            title = f"Leakage: {what}"
            text = (
                "From each feature (rows), how much of each factor (columns) a probe reads on held-out groups. Clean "
                "features have their diagonal only."
            )
            found.append({"name": f"leakage_{kind}", "title": title, "text": text, "png": plots.heat_map(table, title)})
    for metric, name in ((R1, "retrieval"), (POSE, "pose_leakage"), (BACKGROUND, "background_leakage")):
        if result.ours.mean(metric.key) is None:
            continue
        title = f"{metric.column}, from f_s"
        text = "All methods; bars at the ends: standard deviation over the seeds; dashed: chance."
        png = plots.bars(result.everybody, metric.key, title, _chance(result, metric))
        found.append({"name": name, "title": title, "text": text, "png": png})
    if result.pictures:
        text = "First the reference, then what was generated from it: new backgrounds, new poses, the edit."
        found.append({"name": "pictures", "title": "Generated pictures", "text": text, "png": result.pictures})
    return found


def _html(result: EvaluationResult, drawn: Sequence[Mapping[str, Any]]) -> str:
    environment = Environment(
        loader=PackageLoader("spotdiff_model.evaluation.report", ""), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["number"] = _number
    columns = _columns(result)
    table = [
        {
            "title": scores.title,
            "remark": scores.remark,
            "cells": [
                {"mean": scores.mean(metric.key), "std": scores.std(metric.key), "error": scores.error(metric.key)}
                for metric in columns
            ],
        }
        for scores in result.everybody
    ]
    embedded = [
        {
            "title": plot["title"],
            "text": plot["text"],
            "kind": "pictures" if plot["name"] == "pictures" else "plot",
            "data": base64.b64encode(plot["png"]).decode(),
        }
        for plot in drawn
    ]
    return environment.get_template("report.html.j2").render(
        title=result.title,
        data=result.data,
        protocol=result.protocol,
        criteria=result.criteria,
        columns=[{"title": metric.column, "chance": _chance(result, metric)} for metric in columns],
        table=table,
        plots=embedded,
        dependence=_dependence(result.ours),
        cosine_remark=COSINE_REMARK,
        parts=list(PARTS.values()),
        generation=_generation(result.ours),
    )


def _dependence(scores: Scores) -> list[dict[str, Any]]:
    lines = []
    for one, other in combinations(FACTORS, 2):
        values = {name: scores.mean(dependence_key(one, other, name)) for name in _DEPENDENCE}
        if any(value is not None for value in values.values()):
            lines.append({"pair": f"{one}-{other}", **values})
    return lines


def _generation(scores: Scores) -> list[dict[str, Any]]:
    lines = []
    for name, title in MEASURES.items():
        values = [scores.mean(generation_key(part, name)) for part in PARTS]
        if any(value is not None for value in values):
            lines.append({"name": title, "cells": values})
    return lines


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _cell_text(scores: Scores, metric: str) -> str:
    std, error = scores.std(metric), scores.error(metric)
    spread = f" ± {std:.3f}" if std is not None else ""
    return _number(scores.mean(metric)) + spread + (f" (se {error:.3f})" if error is not None else "")
