"""One table from the ``metrics.json`` of many evaluations; only what was measured in the same way stands together."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import ids
from pipeline.config import UserError
from spotdiff_model.evaluation.metrics import METRICS, Metric
from spotdiff_model.evaluation.untrained import REAL, TEXT_PROMPT

_FORMAT = 3
_FREE = {"contestant", "seeds", "versions", "reconstruction", "dino"}
"""Parts of a protocol that may differ between lines of one table."""
_BOUNDS = {REAL, TEXT_PROMPT, "clip", "clip-tokens", "leace", "leace-oracle", "random"}
"""Methods that every evaluation brings along; each stands in a table once."""


@dataclass(frozen=True)
class Entry:
    """One method of one evaluation."""

    title: str
    name: str
    metrics: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Board:
    """Methods that were measured in the same way.

    Attributes:
        data: Of the manifest: path, digest, split, rows, subjects.
        protocol: Digest of what they share.
        entries: The evaluated ones by the first metric, then bounds and untrained baselines.
    """

    data: Mapping[str, Any]
    protocol: str
    entries: Sequence[Entry]


def read_boards(paths: Sequence[str | Path]) -> list[Board]:
    """Boards of these evaluations.

    Args:
        paths: ``metrics.json`` files, or folders below which they lie.

    Raises:
        UserError: None is there, or one is not of this version.
    """
    files = [file for path in map(Path, paths) for file in (sorted(path.rglob("metrics.json")) or [path])]
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for file in files:
        found = _read(file)
        shared = {name: value for name, value in found["protocol"].items() if name not in _FREE}
        data = {name: found["data"][name] for name in ("digest", "split", "rows")}
        groups.setdefault(ids.digest([data, shared])[:12], []).append(found)
    return [_board(key, results) for key, results in groups.items()]


def markdown(boards: Sequence[Board]) -> str:
    """The boards as Markdown, each value with its standard error clustered by subject (or its spread over seeds)."""
    parts = []
    for board in boards:
        columns = [
            metric
            for metric in METRICS
            if metric.column and any(_mean(entry, metric.key) is not None for entry in board.entries)
        ]
        data = board.data
        lines = [
            f"Split {data['split']} of `{_cell(data['path'])}` (digest `{data['digest'][:16]}`): {data['rows']} "
            f"pictures, {data['subjects']} subjects. Protocol `{board.protocol}`.",
            "",
            "| | "
            + " | ".join(f"{metric.column} {'↓' if metric.better == 'lower' else '↑'}" for metric in columns)
            + " |",
            "|---" * (len(columns) + 1) + "|",
            *(
                f"| {_cell(entry.title)} | " + " | ".join(_value(entry, metric) for metric in columns) + " |"
                for entry in board.entries
            ),
        ]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _read(file: Path) -> Mapping[str, Any]:
    try:
        found: Mapping[str, Any] = json.loads(file.read_text("utf-8"))
        known = found["format"] == _FORMAT and found["evaluated"] in found["methods"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"leaderboard: {file}: no metrics.json of an evaluation ({type(error).__name__})") from error
    if not known:
        raise UserError(f"leaderboard: {file}: is of another version; evaluate again")
    return found


def _board(protocol: str, results: Sequence[Mapping[str, Any]]) -> Board:
    evaluated = []
    others: dict[str, Entry] = {}
    for found in results:
        for name, method in found["methods"].items():
            if name == found["evaluated"]:
                title = found["model"] if name in ("ours", "encoder", "pictures") else f"{method['title']}"
                evaluated.append(Entry(str(title), name, method["metrics"]))
            elif name in _BOUNDS:
                others.setdefault(name, Entry(method["title"], name, method["metrics"]))
    first = next((m for m in METRICS if any(_mean(entry, m.key) is not None for entry in evaluated)), METRICS[0])
    evaluated.sort(key=lambda entry: -(_mean(entry, first.key) or 0.0))
    return Board(results[0]["data"], protocol, [*evaluated, *others.values()])


def _mean(entry: Entry, key: str) -> float | None:
    return entry.metrics.get(key, {}).get("mean")


def _value(entry: Entry, metric: Metric) -> str:
    mean = _mean(entry, metric.key)
    if mean is None:
        return "–"
    found = entry.metrics[metric.key]
    spread = found.get("error") if found.get("error") is not None else found.get("std")
    return f"{mean:.3f}" + (f" ± {spread:.3f}" if spread is not None else "")


def _cell(text: str) -> str:
    return " ".join(str(text).replace("|", "\\|").split())
