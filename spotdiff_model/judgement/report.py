"""metrics.json, report.html and the plots of a judgement."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from pipeline import store
from spotdiff_model.judgement import plots
from spotdiff_model.judgement.contenders import RAW
from spotdiff_model.judgement.dependence import COSINE_REMARK
from spotdiff_model.judgement.requests import PARTS
from spotdiff_model.judgement.scoring import Scores, leakage_table
from spotdiff_model.judgement.verdict import ATTRIBUTES, BACKGROUND, KEPT, POSE, POSE_COPY, R1, SUBJECT, Requirement

COLUMNS = {
    R1: ("R@1, hard gallery", "retrieval/subject/hard/chance"),
    R1.replace("recall_at_1", "mean_average_precision"): ("mAP, hard gallery", None),
    R1.replace("hard", "easy"): ("R@1, easy gallery", "retrieval/subject/easy/chance"),
    POSE: ("pose R2", POSE.replace("leakage", "chance", 1)),
    POSE + "_id": ("pose id", POSE.replace("leakage", "chance", 1) + "_id"),
    BACKGROUND: ("background", BACKGROUND.replace("leakage", "chance", 1)),
    SUBJECT: ("subject", SUBJECT.replace("leakage", "chance", 1)),
    ATTRIBUTES: ("attributes of unseen subjects", "chance/" + ATTRIBUTES),
    KEPT: ("attributes kept in pictures", None),
    POSE_COPY: ("pose copied", None),
}
"""Columns of the table by metric: title, and the metric that says what chance reaches."""


@dataclass(frozen=True)
class Judgement:
    """Everything a report says.

    Attributes:
        title: The judged model.
        data: Of the manifest: path, digest, split, rows, subjects, poses, backgrounds.
        protocol: How all of it was measured; JSON-able.
        ours: The judged encoder's scores.
        others: Rivals and ablations.
        verdict: What it must show.
        pictures: PNG of generated pictures, or None.
        more: Further results for metrics.json by name (DreamBench).
    """

    title: str
    data: Mapping[str, Any]
    protocol: Mapping[str, Any]
    ours: Scores
    others: Sequence[Scores]
    verdict: Sequence[Requirement]
    pictures: bytes | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def everybody(self) -> list[Scores]:
        """The judged encoder first."""
        return [self.ours, *self.others]


def write_report(judgement: Judgement, folder: Path) -> None:
    """Writes ``metrics.json``, ``report.html`` (pictures inside) and the PNG plots."""
    drawn = _plots(judgement)
    for plot in drawn:
        store.write_bytes(str(folder / f"{plot['name']}.png"), plot["png"])
    store.write_bytes(str(folder / "metrics.json"), (json.dumps(_metrics(judgement), indent=1) + "\n").encode())
    store.write_bytes(str(folder / "report.html"), _html(judgement, drawn).encode())


def table_text(judgement: Judgement) -> str:
    """The table as Markdown, for the terminal and for README files."""
    columns = _columns(judgement)
    lines = ["| | " + " | ".join(column["title"] for column in columns) + " |", "|---" * (len(columns) + 1) + "|"]
    lines.append("| chance | " + " | ".join(_number(column["chance"]) for column in columns) + " |")
    for scores in judgement.everybody:
        lines.append(f"| {scores.title} | " + " | ".join(_cell_text(scores, c["metric"]) for c in columns) + " |")
    return "\n".join(lines)


def verdict_text(judgement: Judgement) -> str:
    """What must be shown, as Markdown."""
    lines = ["| what | measured | must reach | aim | |", "|---|---|---|---|---|"]
    for line in judgement.verdict:
        lines.append(f"| {line.what} | {_number(line.measured)} | {line.must} | {line.aim} | {line.outcome} |")
    return "\n".join(lines)


def _metrics(judgement: Judgement) -> dict[str, Any]:
    raw = _raw(judgement)
    return {
        "format": 1,
        "model": judgement.title,
        "data": dict(judgement.data),
        "protocol": dict(judgement.protocol),
        "verdict": [asdict(line) for line in judgement.verdict],
        "leakage": {kind: leakage_table(judgement.ours, raw, kind) for kind in ("linear", "mlp")},
        "contenders": {scores.name: scores.summary() for scores in judgement.everybody},
        "remarks": {"cosine": COSINE_REMARK},
        **judgement.more,
    }


def _raw(judgement: Judgement) -> list[Scores]:
    return [scores for scores in judgement.others if scores.name in RAW]


def _columns(judgement: Judgement) -> list[dict[str, Any]]:
    """Those that anybody has a value in."""
    return [
        {"metric": metric, "title": title, "chance": judgement.ours.mean(chance) if chance else None}
        for metric, (title, chance) in COLUMNS.items()
        if any(scores.mean(metric) is not None for scores in judgement.everybody)
    ]


def _plots(judgement: Judgement) -> list[dict[str, Any]]:
    found = []
    for kind, what in (("linear", "linear probes"), ("mlp", "small networks")):
        table = leakage_table(judgement.ours, _raw(judgement), kind)
        if table:
            title = f"Leakage: {what}"
            text = (
                "From each block (rows), how much of each factor (columns) a probe reads on held-out groups. Clean "
                "blocks have their diagonal only."
            )
            found.append({"name": f"leakage_{kind}", "title": title, "text": text, "png": plots.heat_map(table, title)})
    for metric, name in ((R1, "retrieval"), (POSE, "pose_leakage"), (BACKGROUND, "background_leakage")):
        if judgement.ours.mean(metric) is None:
            continue
        title, chance_of = COLUMNS[metric]
        chance = judgement.ours.mean(chance_of) if chance_of else None
        text = "All contenders; bars at the ends: standard deviation over the seeds; dashed: chance."
        png = plots.bars(judgement.everybody, metric, f"{title}, from f_s", chance)
        found.append({"name": name, "title": f"{title}, from f_s", "text": text, "png": png})
    if judgement.pictures:
        text = "First the reference, then what was generated from it: new backgrounds, new poses, the edit."
        found.append({"name": "pictures", "title": "Generated pictures", "text": text, "png": judgement.pictures})
    return found


def _html(judgement: Judgement, drawn: Sequence[Mapping[str, Any]]) -> str:
    environment = Environment(
        loader=PackageLoader("spotdiff_model.judgement", ""), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["number"] = _number
    columns = _columns(judgement)
    table = [
        {
            "title": scores.title,
            "remark": scores.remark,
            "cells": [{"mean": scores.mean(c["metric"]), "std": scores.std(c["metric"])} for c in columns],
        }
        for scores in judgement.everybody
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
        title=judgement.title,
        data=judgement.data,
        protocol=judgement.protocol,
        verdict=judgement.verdict,
        columns=columns,
        table=table,
        plots=embedded,
        dependence=_dependence(judgement.ours),
        cosine_remark=COSINE_REMARK,
        parts=PARTS,
        generation=_generation(judgement.ours),
    )


def _dependence(scores: Scores) -> list[dict[str, Any]]:
    pairs = sorted({name.split("/")[1] for name in scores.values if name.startswith("dependence/")})
    names = ("distance_correlation", "p_value", "cosine")
    return [{"pair": pair, **{name: scores.mean(f"dependence/{pair}/{name}") for name in names}} for pair in pairs]


def _generation(scores: Scores) -> list[dict[str, Any]]:
    names = dict.fromkeys(name.split("/", 2)[2] for name in scores.values if name.startswith("generation/"))
    return [{"name": name, "cells": [scores.mean(f"generation/{part}/{name}") for part in PARTS]} for name in names]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _cell_text(scores: Scores, metric: str) -> str:
    std = scores.std(metric)
    return _number(scores.mean(metric)) + (f" ± {std:.3f}" if std is not None else "")
