"""Plots of the evaluation, as PNG files."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from spotdiff_model.evaluation.probes.leakage import MATRIX
from spotdiff_model.evaluation.scoring import Scores

_FEATURES = {"subject": "f_s", "pose": "f_p", "background": "f_b"}
_TARGETS = {"subject": "subject", "pose": "pose", "background": "background"}
_MEASURES = {"subject": "accuracy", "pose": "R2", "background": "accuracy"}
_CELL = 128
_LABEL = 34

Table = Mapping[str, Mapping[str, Mapping[str, float | None]]]


def heat_map(table: Table, title: str) -> bytes:
    """The leakage matrix: colour and large number between chance (0) and full CLIP (1), small number as measured."""
    figure, axes = _figure(5.2, 4.2)
    shares = np.array([[_get(table, feature, target, "share") for target in MATRIX] for feature in MATRIX])
    picture = axes.imshow(np.clip(shares, 0, 1), vmin=0, vmax=1, cmap="Blues")
    for row, feature in enumerate(MATRIX):
        for column, target in enumerate(MATRIX):
            share, value = shares[row, column], _get(table, feature, target, "value")
            ink = "white" if share > 0.55 else "black"
            axes.text(
                column, row - 0.08, "–" if np.isnan(share) else f"{share:.2f}", ha="center", color=ink, fontsize=15
            )
            if not np.isnan(value):
                says = f"{_MEASURES[target]} {value:.2f}"
                axes.text(column, row + 0.24, says, ha="center", color=ink, fontsize=8)
    axes.set_xticks(range(3), [_TARGETS[target] for target in MATRIX])
    axes.set_yticks(range(3), [_FEATURES[feature] for feature in MATRIX])
    axes.set_title(title, fontsize=10)
    figure.colorbar(picture, label="between chance and full CLIP", shrink=0.8)
    return _png(figure)


def bars(methods: Sequence[Scores], metric: str, title: str, chance: float | None = None) -> bytes:
    """One metric of all methods, with the spread over seeds, and chance as a line."""
    there = [scores for scores in methods if scores.mean(metric) is not None]
    figure, axes = _figure(6.4, 0.6 + 0.36 * max(1, len(there)))
    means = [scores.mean(metric) or 0.0 for scores in there]
    spreads = [scores.std(metric) or 0.0 for scores in there]
    axes.barh(range(len(there)), means, xerr=spreads, color="#4878a8", height=0.65, error_kw={"elinewidth": 1})
    for row, mean in enumerate(means):
        # beside the bar by points, not by value: a bar of next to nothing is as wide as the axes
        axes.annotate(f"{mean:.3f}", (max(mean, 0), row), (4, 0), textcoords="offset points", va="center", fontsize=8)
    if chance is not None:
        axes.axvline(chance, color="#b03030", linestyle="--", linewidth=1)
    axes.set_yticks(range(len(there)), [scores.title for scores in there], fontsize=8)
    axes.invert_yaxis()
    axes.set_title(title, fontsize=10)
    axes.margins(x=0.15)
    return _png(figure)


def grouped_bars(values: Mapping[str, Mapping[str, float]], groups: Sequence[str], title: str) -> bytes:
    """For each group one bar a name; what a name has no value in is left out."""
    figure, axes = _figure(9, 4)
    width = 0.8 / max(1, len(values))
    for number, (name, found) in enumerate(values.items()):
        there = [(at, found[group]) for at, group in enumerate(groups) if group in found]
        places = [at - 0.4 + width * (number + 0.5) for at, _ in there]
        axes.bar(places, [value for _, value in there], width=width, label=name)
    axes.set_xticks(range(len(groups)), groups, fontsize=8)
    axes.set_title(title, fontsize=10)
    axes.legend(fontsize=6, ncols=2)
    return _png(figure)


def curves(lines: Mapping[str, Sequence[tuple[float, float]]], across: str, up: str) -> bytes:
    """One line a name, on a logarithmic axis."""
    figure, axes = _figure(6.4, 4)
    for name, points in lines.items():
        axes.plot(*zip(*points, strict=True), marker="o", label=name)
    axes.set_xscale("log")
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.legend(fontsize=6)
    return _png(figure)


def picture_grid(rows: Sequence[tuple[str, Sequence[tuple[str, Image.Image]]]]) -> bytes:
    """Rows of captioned pictures, e.g. a reference and what was generated from it."""
    columns = max((len(pictures) for _, pictures in rows), default=1)
    canvas = Image.new("RGB", (columns * (_CELL + 6), max(1, len(rows)) * (_CELL + _LABEL + 16)), "white")
    draw = ImageDraw.Draw(canvas)
    for row, (title, pictures) in enumerate(rows):
        top = row * (_CELL + _LABEL + 16)
        draw.text((2, top), title, fill="black")
        for column, (caption, picture) in enumerate(pictures):
            left = column * (_CELL + 6)
            canvas.paste(picture.convert("RGB").resize((_CELL, _CELL), Image.Resampling.NEAREST), (left, top + 14))
            for line, text in enumerate(textwrap.wrap(caption, 21, max_lines=2, placeholder="…")):
                draw.text((left + 2, top + 15 + _CELL + line * 12), text, fill=(90, 90, 90))
    buffer = io.BytesIO()
    canvas.save(buffer, "PNG")
    return buffer.getvalue()


def _figure(width: float, height: float) -> tuple[Any, Any]:
    """A figure of its own, outside pyplot's global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    return buffer.getvalue()


def _get(table: Table, feature: str, target: str, name: str) -> float:
    value = table.get(feature, {}).get(target, {}).get(name)
    return float("nan") if value is None else value
