"""A manifest in numbers: rows by split, scores against their thresholds, what was rejected and why, rights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.exports.frames import SCORES, frame, misses
from pipeline.manifest.read import Manifest
from pipeline.manifest.validate.rules import LIMITS

if TYPE_CHECKING:
    import pandas as pd

_FACTORS = {"sources": "source_id", "poses": "pose_id", "subjects": "subject_id", "backgrounds": "background_id"}


@dataclass(frozen=True)
class Stats:
    """Tables; the index of each names its rows.

    Attributes:
        splits: By split and in all: rows, sources, poses, subjects, backgrounds.
        scores: By score: the thresholds, least, quantiles and largest value.
        rejected: By kind and reason: how many did not get in.
        rights: By licence: sources, rows, and how many sources name somebody to credit and an address.
        attempts: By number of the background's attempt, from 0: rows.
        sizes: By width and height: rows.
    """

    splits: pd.DataFrame
    scores: pd.DataFrame
    rejected: pd.DataFrame
    rights: pd.DataFrame
    attempts: pd.DataFrame
    sizes: pd.DataFrame

    def tables(self) -> dict[str, pd.DataFrame]:
        """All tables by name."""
        return dict(vars(self))

    def plain(self) -> dict[str, list[dict[str, Any]]]:
        """All tables as lists of rows, for JSON."""
        import json

        return {
            name: json.loads(table.reset_index().to_json(orient="records")) for name, table in self.tables().items()
        }


def stats(manifest: Manifest, split: str | None = None) -> Stats:
    """Counts a manifest, or one split of it; reads no pictures."""
    rights = ("source_license", "source_attribution", "source_uri")
    rows = frame(manifest, ["split", *_FACTORS.values(), *SCORES, *rights, "attempt", "width", "height"])
    if split:
        rows = rows[rows["split"] == split]
    return Stats(
        splits=_splits(rows),
        scores=_scores(rows, (manifest.footer.get("profile") or {}).get("quality") or {}),
        rejected=_rejected(misses(manifest)),
        rights=_rights(rows),
        attempts=_counted(rows, ["attempt"]),
        sizes=_counted(rows, ["width", "height"]),
    )


def _splits(rows: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    parts = {str(name): part for name, part in rows.groupby("split", observed=True)}
    order: list[str] = [name for name in ("train", "validation", "test") if name in parts]
    order += sorted(set(parts) - set(order))
    said = [
        {"rows": len(part), **{name: part[column].nunique() for name, column in _FACTORS.items()}}
        for part in (*(parts[name] for name in order), rows)
    ]
    return pd.DataFrame(said, index=pd.Index([*order, "all"], name="split"))


def _scores(rows: pd.DataFrame, quality: dict[str, Any]) -> pd.DataFrame:
    import pandas as pd

    told = rows[list(SCORES)].astype("float64").quantile([0, 0.05, 0.5, 0.95, 1]).T
    told.columns = pd.Index(["least", "5 %", "median", "95 %", "largest"])
    told.insert(0, "at least", [quality.get(LIMITS[name][0]) for name in told.index])
    told.insert(1, "at most", [quality.get(str(LIMITS[name][1])) for name in told.index])
    told.index.name = "score"
    return told


def _rejected(rows: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    reasons = rows["reason"].astype("object").fillna(rows["status"].astype("object"))
    table = pd.DataFrame({"kind": rows["kind"].astype("object"), "reason": reasons})
    found = table.groupby(["kind", "reason"]).size().rename("count").to_frame()
    return found.sort_values("count", ascending=False, kind="stable")


def _rights(rows: pd.DataFrame) -> pd.DataFrame:
    told = rows[["source_id", "source_license", "source_attribution", "source_uri"]].astype("object")
    told["source_license"] = told["source_license"].fillna("not stated")
    by = told.groupby("source_license")
    each = told.drop_duplicates("source_id").groupby("source_license")
    found = each.agg(
        sources=("source_id", "size"), attributed=("source_attribution", "count"), addressed=("source_uri", "count")
    )
    found.insert(1, "rows", by.size())
    found.index.name = "licence"
    return found


def _counted(rows: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    return rows.groupby(columns, observed=True).size().rename("rows").to_frame()
