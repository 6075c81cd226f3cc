"""Several manifests as one: the same rows, sound; what contradicts is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from toy_stages import build, recipe, write_pictures

from pipeline.config import UserError
from pipeline.manifest.filter import Choice, filter_manifest
from pipeline.manifest.merge import merge_manifests
from pipeline.manifest.read import Manifest
from pipeline.manifest.validate.manifest import validate


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = tmp_path_factory.mktemp("whole")
    stages = recipe(subjects={"rejects": 9}, variations={"rejects": 11})
    build(write_pictures(folder / "in", 8), folder / "whole.parquet", folder / "work", stages)
    return Manifest(str(folder / "whole.parquet"))


def _rows(manifest: Manifest) -> list[dict[str, Any]]:
    return [row for batch in manifest.batches() for row in batch.to_pylist()]


def test_two_builds_are_what_one_build_would_be(whole: Manifest, tmp_path: Path) -> None:
    stages = recipe(subjects={"rejects": 9}, variations={"rejects": 11})
    for name, first, count in (("a", 0, 3), ("b", 3, 5)):
        build(write_pictures(tmp_path / name, count, first), tmp_path / f"{name}.parquet", tmp_path / "work", stages)
    merged = merge_manifests([str(tmp_path / "b.parquet"), str(tmp_path / "a.parquet")], str(tmp_path / "m.parquet"))
    assert validate(merged.path) == []
    assert merged.digest == whole.digest
    assert _rows(merged) == _rows(whole)
    assert [one["rows"] for one in merged.footer["merged"]] == [
        Manifest(str(tmp_path / f"{n}.parquet")).rows for n in "ba"
    ]
    assert merged.footer["config"]["sources"] == [str(tmp_path / "b"), str(tmp_path / "a")]
    ours, theirs = (sorted(pq.read_table(one.rejected_path).to_pylist(), key=str) for one in (merged, whole))
    assert [{**row, "path": ""} for row in ours] == [{**row, "path": ""} for row in theirs]


def test_parts_of_one_manifest_and_merges_of_merges(whole: Manifest, tmp_path: Path) -> None:
    parts = []
    for name in ("train-s0", "train-s1", "train-s2"):
        choice = Choice(where=f"subject_id = '{name}'")
        parts.append(filter_manifest(whole.path, str(tmp_path / f"{name}.parquet"), choice).path)
    two = merge_manifests(parts[:2], str(tmp_path / "two.parquet"))
    three = merge_manifests([two.path, parts[2]], str(tmp_path / "three.parquet"))
    assert validate(three.path) == []
    assert len(three.footer["merged"]) == 3
    assert all(one["filtered"]["parent"] == whole.digest for one in three.footer["merged"])
    assert three.footer["config"]["subjects"] is None
    filtered = filter_manifest(whole.path, str(tmp_path / "all.parquet"), Choice(split="train"))
    assert three.digest == filtered.digest


def test_what_is_refused(whole: Manifest, tmp_path: Path) -> None:
    out = str(tmp_path / "out.parquet")
    part = filter_manifest(whole.path, str(tmp_path / "part.parquet"), Choice(sample=5))
    with pytest.raises(UserError, match=r"is in .*\.parquet and in .*\.parquet; take it out of one"):
        merge_manifests([whole.path, part.path], out)
    with pytest.raises(UserError, match="at least two"):
        merge_manifests([whole.path], out)
    with pytest.raises(UserError, match="is one of the manifests"):
        merge_manifests([whole.path, part.path], part.path)
    assert list(tmp_path.glob("out*")) == []
    assert validate(part.path) == []


def _rewritten(manifest: Manifest, path: Path, change: Any, footer: Any = None) -> str:
    """A manifest with other values in its rows or footer, written by our writer."""
    from pipeline.manifest.parts import PartsWriter
    from pipeline.manifest.rejected import RejectedWriter

    writer = PartsWriter(str(path), (footer or (lambda said: said))(dict(manifest.footer)), 10**9)
    rejected = RejectedWriter(str(path), writer.generation)
    for row in _rows(manifest):
        writer.add({**row, **change(row)})
    writer.close({"rejected": rejected.close()})
    return str(path)


def test_splits_near_duplicates_and_settings_are_held_against_each_other(whole: Manifest, tmp_path: Path) -> None:
    ids = sorted({row["source_id"] for row in _rows(whole) if row["split"] == "train"})
    wheres = (f"source_id = '{ids[0]}'", f"source_id = '{ids[1]}'")
    one, two = (
        filter_manifest(whole.path, str(tmp_path / f"{n}.parquet"), Choice(where=w)) for n, w in enumerate(wheres)
    )
    out = str(tmp_path / "out.parquet")

    crossed = _rewritten(two, tmp_path / "crossed.parquet", lambda row: {"split": "test"})
    with pytest.raises(UserError, match=r"background_id train-b0 is in split train of .*0\.parquet and in split test"):
        merge_manifests([one.path, crossed], out)

    code = _rows(one)[0]["source_phash"]
    near = _rewritten(
        two,
        tmp_path / "near.parquet",
        lambda row: {
            "split": "test", "source_phash": code,
            "subject_id": f"x{row['subject_id']}", "background_id": f"x{row['background_id']}",
        },
    )  # fmt: skip
    with pytest.raises(UserError, match="is a near-duplicate of"):
        merge_manifests([one.path, near], out)

    def stricter(footer: dict[str, Any]) -> dict[str, Any]:
        profile = footer["profile"]
        return {**footer, "profile": {**profile, "quality": {**profile["quality"], "min_pose_score": 0.7}}}

    other = _rewritten(two, tmp_path / "other.parquet", lambda row: {}, stricter)
    with pytest.raises(UserError, match=r"differ in profile\.quality\.min_pose_score: 0\.5 and 0\.7"):
        merge_manifests([one.path, other], out)
    assert merge_manifests([one.path, two.path], out).rows == one.rows + two.rows
