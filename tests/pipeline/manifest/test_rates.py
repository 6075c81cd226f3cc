"""Rates read off a manifest: sources, subjects and variations that an earlier build accepted."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from toy_stages import build, recipe, write_pictures

from pipeline.config import UserError, load_profile
from pipeline.manifest.rates import rates_of
from pipeline.manifest.read import Manifest


def test_rates_are_those_of_the_build(tmp_path: Path) -> None:
    sources = write_pictures(tmp_path / "sources", 7)
    (sources / "copy.png").write_bytes((sources / "00003.png").read_bytes())
    stages = recipe(subjects={"count": 4, "rejects": 4}, variations={"count": 5, "rejects": 5})
    build(sources, tmp_path / "v1.parquet", tmp_path / "work", stages)
    manifest, profile = Manifest(str(tmp_path / "v1.parquet")), load_profile("tiny")
    missed = pq.read_table(manifest.rejected_path).to_pylist()
    kinds = Counter(row["kind"] for row in missed if row["status"] == "rejected")
    assert kinds["source"] == 1
    assert min(kinds["subject"], kinds["variation"]) > 0

    rates = rates_of(manifest.path, profile)
    assert rates.origin == f"read off {manifest.path}"
    assert rates.sources == pytest.approx(7 / 8)
    # seen from the other end: so many slots stay empty with this rate and so many attempts
    rows = [row for batch in manifest.batches() for row in batch.to_pylist()]
    slots = kinds["subject"] + len({(row["source_id"], row["subject_id"]) for row in rows})
    assert (1 - rates.subjects) ** profile.subjects.max_attempts == pytest.approx(kinds["subject"] / slots)
    tried = sum(row["attempt"] + 1 for row in rows)
    tried += sum(row["attempt"] + 1 for row in missed if row["kind"] == "variation")
    assert rates.variations == pytest.approx(manifest.rows / tried)


def test_a_manifest_without_its_list_of_misses_is_named(tmp_path: Path) -> None:
    sources = write_pictures(tmp_path / "sources", 2)
    build(sources, tmp_path / "v1.parquet", tmp_path / "work", recipe())
    Path(Manifest(str(tmp_path / "v1.parquet")).rejected_path).unlink()
    with pytest.raises(UserError, match=r"--like: its list of misses .*: No such file"):
        rates_of(str(tmp_path / "v1.parquet"), load_profile("tiny"))
