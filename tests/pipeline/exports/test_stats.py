"""A manifest in numbers, against a plain count of its rows."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.exports.stats import stats
from pipeline.manifest.read import Manifest

Rows = dict[str, dict[str, Any]]


def test_the_tables_are_a_plain_count(toys: Manifest, rows: Rows, counts: dict[str, int]) -> None:
    found = stats(toys)
    assert found.splits["rows"].to_dict() == {**counts, "all": len(rows)}
    for column, factor in (("sources", "source_id"), ("subjects", "subject_id"), ("backgrounds", "background_id")):
        for split in counts:
            assert found.splits.loc[split, column] == len(
                {row[factor] for row in rows.values() if row["split"] == split}
            )
    values = sorted(row["pose_score"] for row in rows.values())
    assert found.scores.loc["pose_score", ["least", "largest", "at least"]].tolist() == pytest.approx(
        [values[0], values[-1], 0.5]
    )
    missed = Counter((row["kind"], row["reason"]) for row in pq.read_table(toys.rejected_path).to_pylist())
    assert found.rejected["count"].to_dict() == missed
    licences = Counter(row["source_license"] or "not stated" for row in rows.values())
    assert found.rights["rows"].to_dict() == licences
    of_sources = {row["source_id"]: row for row in rows.values()}
    assert found.rights["sources"].sum() == len(of_sources)
    assert found.rights["attributed"].sum() == sum(row["source_attribution"] is not None for row in of_sources.values())
    assert found.sizes["rows"].to_dict() == {(16, 16): len(rows)}


def test_one_split_and_json(toys: Manifest, counts: dict[str, int]) -> None:
    found = stats(toys, "test")
    assert found.splits["rows"].to_dict() == {"test": counts["test"], "all": counts["test"]}
    plain = json.loads(json.dumps(found.plain()))
    assert plain["splits"][-1]["rows"] == counts["test"]
