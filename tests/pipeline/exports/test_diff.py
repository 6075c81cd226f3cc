"""What ``diff`` says of builds that differ in a known way is exact."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from toy_stages import build, recipe, write_pictures

from pipeline.config import BuildConfig, build_config
from pipeline.exports.diff import diff
from pipeline.exports.diff_page import page
from pipeline.manifest.filter import Choice, filter_manifest
from pipeline.manifest.finish import build_manifest
from pipeline.manifest.read import Manifest
from pipeline.runner.build import open_build

EXAMPLES = Path(__file__).parents[3] / "examples" / "sources"


def _rows(manifest: Manifest) -> dict[tuple[str, str, str], dict[str, Any]]:
    rows = [row for batch in manifest.batches() for row in batch.to_pylist()]
    return {(row["source_id"], row["subject_id"], row["background_id"]): row for row in rows}


def test_one_source_less_and_one_more(tmp_path: Path) -> None:
    for name, first, count in (("a", 0, 4), ("b", 1, 5)):
        build(write_pictures(tmp_path / name, count, first), tmp_path / f"{name}.parquet", tmp_path / "work")
    found = diff(str(tmp_path / "a.parquet"), str(tmp_path / "b.parquet"))
    assert found.rows == {"same": 36, "only in A": 12, "only in B": 24}
    assert not found.changed
    a, b = _rows(found.a), _rows(found.b)
    assert found.only == {"A": sorted(a.keys() - b.keys()), "B": sorted(b.keys() - a.keys())}
    assert found.why is not None
    assert found.why["count"].to_dict() == {
        ("only in A", "its source is not in B"): 12,
        ("only in B", "its source is not in A"): 24,
    }
    assert [name for name, _, _ in found.settings] == ["config.sources"]
    assert (found.models, found.versions) == ([], [])
    assert diff(found.a.path, found.a.path).same


def test_rejects_and_factors_that_were_not_drawn_are_told(tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path / "in", 6)
    build(pictures, tmp_path / "a.parquet", tmp_path / "work")
    less = recipe(subjects={"count": 2, "rejects": 4}, variations={"count": 3, "rejects": 5})
    build(pictures, tmp_path / "b.parquet", tmp_path / "other", less)
    found = diff(str(tmp_path / "a.parquet"), str(tmp_path / "b.parquet"))
    assert found.why is not None
    told = {why: int(count) for (_, why), count in found.why["count"].items()}
    b, missed = _rows(found.b), {}
    import pyarrow.parquet as pq

    for row in pq.read_table(found.b.rejected_path).to_pylist():
        missed[(row["source_id"], row["subject_id"], row["background_id"])] = row["reason"]
    subjects = {key[:2] for key in b} | {key[:2] for key in missed}
    expected = {"subject": 0, "variation": 0, "undrawn subject": 0, "undrawn background": 0}
    for source, subject, background in _rows(found.a).keys() - b.keys():
        if (source, subject, background) in missed:
            expected["variation"] += 1
        elif (source, subject, None) in missed:
            expected["subject"] += 1
        elif (source, subject) not in subjects:
            expected["undrawn subject"] += 1
        else:
            expected["undrawn background"] += 1
    assert told == {
        "subject rejected in B: pose_not_kept": expected["subject"],
        "variation rejected in B: degenerate": expected["variation"],
        "its subject was not drawn in B": expected["undrawn subject"],
        "its background was not drawn in B": expected["undrawn background"],
    }
    assert min(told.values()) > 0


def test_the_page_shows_what_changed_and_stays_text(tmp_path: Path) -> None:
    build(write_pictures(tmp_path / "in", 3), tmp_path / "a.parquet", tmp_path / "work")
    where = "background_id != '<script>alert(1)</script>' and background_id != 'train-b1'"
    part = filter_manifest(str(tmp_path / "a.parquet"), str(tmp_path / "b.parquet"), Choice(where=where))
    found = diff(str(tmp_path / "a.parquet"), part.path)
    text = page(found, most=2)
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)" in text
    gone = found.rows["only in A"]
    assert f"{min(gone, 2)} of {gone}" in text
    assert text.count("data:image/webp;base64,") == min(gone, 2)
    assert not re.search(r"(src|href)=\"(?!data:)", text)


@pytest.mark.slow
def test_another_threshold_and_another_seed_of_a_real_build(tmp_path: Path) -> None:
    (tmp_path / "strict.toml").write_text('extends = "tiny"\nname = "strict"\n[quality]\nmin_pose_score = 0.85\n')

    def built(name: str, **more: Any) -> Manifest:
        config: BuildConfig = build_config(
            sources=(str(EXAMPLES / "world-2000020[45].png"),),
            poses=str(EXAMPLES / "poses.json"),
            manifest=str(tmp_path / f"{name}.parquet"),
            work=str(tmp_path / "work" / name),
            subjects=3,
            backgrounds=2,
            **more,
        )
        build_manifest(open_build(config))
        return Manifest(config.manifest)

    base = built("base")
    strict = built("strict", profile=str(tmp_path / "strict.toml"))
    other = built("seed", seed=1)

    rows = _rows(base)
    kept = {key for key, row in rows.items() if row["pose_score"] >= 0.85}
    assert 0 < len(kept) < len(rows)
    found = diff(base.path, strict.path)
    assert found.rows["same"] == len(kept)
    assert found.changed.keys() | set(found.only["A"]) == rows.keys() - kept
    assert found.changed.keys() == _rows(strict).keys() - kept
    for columns in found.changed.values():
        assert {"sha256", "subject_seed", "pose_score", "mask"} <= set(columns)
    assert ("profile.quality.min_pose_score", "0.5", "0.85") in found.settings
    assert {name for name, _, _ in found.settings} == {
        "profile.name",
        "profile.quality.min_pose_score",
        "config.profile",
    }
    assert found.models == []
    assert found.scores is not None
    assert found.scores.loc["pose_score", "rows in both that differ"] == len(found.changed)
    assert found.scores.loc["pose_score", "mean in A"] == pytest.approx(
        sum(row["pose_score"] for row in rows.values()) / len(rows)
    )
    shown = page(found)
    assert shown.count("data:image/webp") == 2 * len(found.changed) + len(found.only["A"])

    found = diff(base.path, other.path)
    theirs = _rows(other)
    assert set(found.only["A"]) == rows.keys() - theirs.keys()
    assert set(found.only["B"]) == theirs.keys() - rows.keys()
    assert found.rows["same"] == 0
    assert found.changed.keys() == rows.keys() & theirs.keys()
    assert [name for name, _, _ in found.settings] == ["config.seed"]
