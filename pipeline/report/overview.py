"""The numbers of a report's first page, from the light columns of the manifest and the list of misses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.report.tables import FACTORS, SCORES

if TYPE_CHECKING:
    import pandas as pd

TITLES = {
    "pose_score": "Pose kept (OKS)",
    "mask_score": "Mask quality (SAM's IoU estimate)",
    "mask_area": "Mask area (share of the picture)",
    "clip_t_subject": "Subject as prompted (CLIP)",
    "clip_t_background": "Background as prompted (CLIP)",
    "subject_kept": "Subject's pixels kept",
}
BINS = 40
_PAIRS = (("source_id", "subject_id"), ("source_id", "background_id"), ("subject_id", "background_id"))
_CELLS = 6000
"""Above so many cells a map shows those alone in which something is missing."""


def gates(footer: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """The thresholds of each score, ``min`` and ``max``, as far as the footer tells them."""
    quality = footer.get("profile", {}).get("quality", {})
    found: dict[str, dict[str, float]] = {}
    for score in SCORES:
        for side in ("min", "max"):
            value = quality.get(f"{side}_{score}")
            if isinstance(value, int | float):
                found.setdefault(score, {})[side] = float(value)
    return found


def stage_counts(rows: pd.DataFrame, missed: pd.DataFrame) -> list[dict[str, Any]]:
    """Sources, subjects and variations: how many got in, were rejected, failed."""
    tried = missed[missed["kind"] == "variation"]
    slots = {
        "source": _pairs(rows, tried, ["source_id"], missed[missed["kind"] == "subject"]),
        "subject": _pairs(rows, tried, ["source_id", "subject_id"]),
        "variation": len(rows),
    }
    counts = []
    for kind, ok in slots.items():
        status = missed.loc[missed["kind"] == kind, "status"].value_counts()
        numbers = {name: int(status.get(name, 0)) for name in ("rejected", "failed")}
        counts.append({"kind": f"{kind}s", "ok": ok, **numbers})
    return counts


def _pairs(rows: pd.DataFrame, tried: pd.DataFrame, names: list[str], more: pd.DataFrame | None = None) -> int:
    """How many different ones there are among rows and misses."""
    frames = [rows, tried, *([] if more is None else [more])]
    return len({key for frame in frames for key in frame[names].astype(str).drop_duplicates().itertuples(index=False)})


def funnel(counts: list[dict[str, Any]], rows: int, footer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Variations that were asked for, and where they were lost: each rejected source takes all of its own with it."""
    config = footer.get("config", {})
    subjects, backgrounds = config.get("subjects"), config.get("backgrounds")
    if not isinstance(subjects, int) or not isinstance(backgrounds, int):
        return []
    source, subject, variation = counts
    asked = _total(source) * subjects * backgrounds
    posed = source["ok"] * subjects * backgrounds
    begun = _total(variation)
    whole = footer.get("filtered", {}).get("parent_rows", rows)
    steps = [
        ("asked for", asked, f"{_total(source)} sources x {subjects} subjects x {backgrounds} backgrounds"),
        ("have a source with a pose", posed, f"{_total(source) - source['ok']} sources left out"),
        ("have an accepted subject", begun, f"{_total(subject) - subject['ok']} subjects left out"),
        ("accepted", whole, f"{_total(variation) - variation['ok']} variations left out"),
    ]
    if whole != rows:
        steps.append(("chosen by spotdiff filter", rows, f"of {whole}"))
        steps[2:3] = []  # what the filter left out cannot be told from what never began
    return [{"step": step, "count": count, "note": note} for step, count, note in steps]


def _total(counts: Mapping[str, Any]) -> int:
    return int(counts["ok"] + counts["rejected"] + counts["failed"])


def split_counts(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """By split: rows, and how many different sources, subjects and backgrounds."""
    columns = {"rows": ("split", "size")} | {
        name: (f"{name[:-1]}_id", "nunique") for name in ("sources", "subjects", "backgrounds")
    }
    table = rows.groupby("split", observed=True).agg(**columns)
    order = [name for name in ("train", "validation", "test") if name in table.index]
    table = table.reindex([*order, *(name for name in table.index if name not in order)])
    return [{"split": str(split), **{name: int(row[name]) for name in columns}} for split, row in table.iterrows()]


def reasons(missed: pd.DataFrame) -> list[dict[str, Any]]:
    """How often each reason to leave something out was given, the most frequent first."""
    named = missed.assign(reason=missed["reason"].fillna(missed["status"]))
    counts = named.groupby(["kind", "reason"]).size().sort_values(ascending=False, kind="stable")
    lines = counts.rename("count").reset_index().to_dict("records")
    return [{"kind": str(line["kind"]), "reason": str(line["reason"]), "count": int(line["count"])} for line in lines]


def distributions(rows: pd.DataFrame, missed: pd.DataFrame, footer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Of each score a histogram, of accepted rows and of misses alike, and its thresholds."""
    limits = gates(footer)
    found = []
    for score in SCORES:
        accepted, rejected = (_numbers(frame[score]) for frame in (rows, missed))
        values = np.concatenate([accepted, rejected, np.array(list(limits.get(score, {}).values()))])
        if not len(accepted):
            continue
        low, high = float(values.min()), float(values.max())
        edges = np.linspace(low, high if high > low else low + 1e-3, BINS + 1)
        bins = [np.histogram(numbers, edges)[0].tolist() for numbers in (accepted, rejected)]
        found.append(
            {
                "score": score,
                "title": TITLES[score],
                "edges": edges.tolist(),
                "accepted": bins[0],
                "rejected": bins[1],
                "gates": limits.get(score, {}),
                "low": float(accepted.min()),
                "high": float(accepted.max()),
                "median": float(np.median(accepted)),
            }
        )
    return found


def _numbers(column: pd.Series) -> np.ndarray:
    values = column.to_numpy(float, na_value=np.nan)
    return values[np.isfinite(values)]


def coverage(
    rows: pd.DataFrame, missed: pd.DataFrame, footer: Mapping[str, Any], splits: Mapping[str, str | None]
) -> list[dict[str, Any]]:
    """Each pair of factors as a map: how many of a cell's variations are there, and how many are missing.

    Args:
        rows, missed: What is in the manifest, and what is not.
        footer: The manifest's.
        splits: Of each source, as far as known.
    """
    import pandas as pd

    tried = missed.loc[missed["kind"] == "variation", ["source_id", "subject_id", "background_id"]]
    never = missed.loc[missed["kind"] == "subject", ["source_id", "subject_id"]]
    order = _by_split(rows, missed, splits)
    maps = []
    for pair in map(list, _PAIRS):
        here = rows[pair].astype(str).groupby(pair).size().rename("here")
        lost = tried.groupby(pair).size().rename("lost")
        if pair == ["source_id", "subject_id"]:  # their variations were never begun, and are not in the list
            backgrounds = int(footer.get("config", {}).get("backgrounds", 1))
            lost = lost.add(never.groupby(pair).size() * backgrounds, fill_value=0).rename("lost")
        cells = pd.concat([here, lost], axis=1).fillna(0).astype(int).reset_index()
        total, short = len(cells), cells[cells["lost"] > 0]
        shown = cells if total <= _CELLS else short.head(_CELLS)
        maps.append(
            {
                "x": pair[1].removesuffix("_id"),
                "y": pair[0].removesuffix("_id").replace("source", "pose"),
                "xs": sorted({str(x) for x in shown[pair[1]]}, key=lambda x: (order.get(x, 9), x)),
                "ys": sorted({str(y) for y in shown[pair[0]]}, key=lambda y: (order.get(y, 9), y)),
                "cells": [[str(y), str(x), int(here), int(lost)] for y, x, here, lost in shown.itertuples(index=False)],
                "total": total,
                "short": len(short),
                "empty": int((cells["here"] == 0).sum()),
                "whole": len(shown) == total,
            }
        )
    return maps


def _by_split(rows: pd.DataFrame, missed: pd.DataFrame, splits: Mapping[str, str | None]) -> dict[str, int]:
    """The place of each factor's split among the splits; a factor belongs to the split of its sources."""
    order = {"train": 0, "validation": 1, "test": 2}
    found: dict[str, int] = {}
    for factor in FACTORS:
        for frame in (rows, missed):
            for name, source in (
                frame[list({factor: 0, "source_id": 0})].drop_duplicates().dropna().to_numpy()[:, [0, -1]]
            ):
                found.setdefault(str(name), order.get(str(splits.get(str(source))), len(order)))
    return found
