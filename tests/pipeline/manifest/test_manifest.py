"""Writing and reading manifests: columns, order, parts, digests, what did not get in."""

from __future__ import annotations

import os
import re
import tracemalloc
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_stages import SIZE, ToySubjects, ToyVariations, build, recipe, write_pictures

from pipeline import ids, store
from pipeline.config import UserError, manifest_stem
from pipeline.manifest.digest import RowsDigest
from pipeline.manifest.places import part_path
from pipeline.manifest.read import Manifest
from pipeline.manifest.schema import FOOTER, REJECTED_SCHEMA, ROW_GROUP, SCHEMA
from pipeline.manifest.validate.manifest import validate
from pipeline.manifest.write import write_manifest
from pipeline.runner.duplicates import Duplicates
from pipeline.runner.ledger import DamagedFragment, Ledger

REJECTING = {"subjects": {"count": 4, "rejects": 4}, "variations": {"count": 5, "rejects": 5}}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_pictures(tmp_path_factory.mktemp("sources"), 7)
    (folder / "copy.png").write_bytes((folder / "00003.png").read_bytes())
    (folder / "empty.png").touch()
    (folder / "LICENSES.csv").write_text("file,licence_name,source_url\n00001.png,CC BY 4.0,https://example.org/1\n")
    return folder


@pytest.fixture(scope="module")
def built(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = tmp_path_factory.mktemp("built")
    build(sources, folder / "v1.parquet", folder / "work", recipe(**REJECTING))
    return Manifest(str(folder / "v1.parquet"))


def _rows(manifest: Manifest) -> list[dict[str, object]]:
    return [row for batch in manifest.batches() for row in batch.to_pylist()]


def test_a_whole_build_is_sound(built: Manifest) -> None:
    assert validate(built.path) == []
    assert built.rows > 7 * 4 * 5 * 0.4


def test_rows_are_sorted_and_say_where_they_are_from(built: Manifest) -> None:
    rows = _rows(built)
    keys = [(row["source_id"], row["subject_id"], row["background_id"]) for row in rows]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys) == built.rows
    assert {row["source_license"] for row in rows} == {None, "CC BY 4.0"}
    assert {(row["width"], row["height"]) for row in rows} == {(SIZE, SIZE)}


def test_every_slot_is_accounted_for(built: Manifest) -> None:
    missed = pq.read_table(built.rejected_path)
    assert missed.schema.names == REJECTED_SCHEMA.names
    rows = missed.to_pylist()
    by_kind = Counter(row["kind"] for row in rows)
    assert by_kind["source"] == 2
    assert built.rows + by_kind["variation"] == (7 * 4 - by_kind["subject"]) * 5
    sources = {row["path"]: (row["status"], row["reason"], row["detail"]) for row in rows if row["kind"] == "source"}
    assert sources == {
        "copy.png": ("rejected", "duplicate", "00003.png"),
        "empty.png": ("rejected", "empty_file", "0 bytes"),
    }
    subject = next(row for row in rows if row["kind"] == "subject")
    assert (subject["reason"], subject["attempt"], subject["people"]) == ("pose_not_kept", 0, 1)
    assert subject["pose_score"] == pytest.approx(0.9)
    assert subject["background_id"] is None
    assert {row["reason"] for row in rows if row["kind"] == "variation"} == {"degenerate"}
    here = {row["variation_id"] for row in _rows(built)}
    assert not here & {
        ids.variation_id(row["source_id"], row["subject_id"], row["background_id"])
        for row in rows
        if row["kind"] == "variation"
    }


def test_failed_rows_are_listed_with_their_error(sources: Path, tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    stages = recipe(subjects={"count": 4, "fails": 3, "broken": str(tmp_path / "broken")})
    first = build(sources, tmp_path / "v1.parquet", tmp_path / "work", stages).written
    failed = [row for row in pq.read_table(first.rejected_path).to_pylist() if row["status"] == "failed"]
    assert failed
    assert {row["error"] for row in failed} == {"ConnectionError: the model went away"}
    assert first.rejected["subject:failed"] == len(failed)
    assert validate(first.paths[0]) == []
    (tmp_path / "broken").unlink()
    second = build(sources, tmp_path / "v1.parquet", tmp_path / "work", stages, retry="failed").written
    assert second.rows == first.rows + 4 * len(failed)
    assert "subject:failed" not in second.rejected


def test_columns_of_the_readme_are_those_of_the_schema() -> None:
    text = (Path(__file__).parents[3] / "manifests" / "README.md").read_text("utf-8")
    table = text.split("## Columns")[1].split("## What did not get in")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == SCHEMA.names
    rejected = text.split("## What did not get in")[1].split("## Footer")[0]
    assert set(REJECTED_SCHEMA.names) <= set(re.findall(r"`(\w+)`", rejected))


def test_file_layout(built: Manifest) -> None:
    (path,) = built.paths
    parquet = pq.ParquetFile(path)
    groups = [parquet.metadata.row_group(n) for n in range(parquet.metadata.num_row_groups)]
    assert [group.num_rows for group in groups[:-1]] == [ROW_GROUP] * (len(groups) - 1)
    column = groups[0].column(0)
    assert column.compression == "ZSTD"
    assert column.has_offset_index
    assert column.has_column_index
    assert parquet.schema_arrow.equals(SCHEMA)


def test_the_footer_says_how_it_was_made(built: Manifest) -> None:
    footer = built.footer
    assert footer["run"] == "v1"
    assert footer["rows"] == footer["total"]["rows"] == built.rows
    assert footer["digest"] == footer["total"]["digest"] == built.digest
    assert footer["profile"]["name"] == "tiny"
    assert footer["config"]["seed"] == 0
    assert {model["role"] for model in footer["models"]} >= {"base", "controlnet", "inpaint", "sam", "pose", "clip"}
    assert all(model["license"] for model in footer["models"])
    assert footer["versions"]["pyarrow"]
    assert footer["num_inference_steps"]["subjects"] > 0
    assert re.fullmatch(r"[0-9a-f]{16}", footer["run_id"])
    assert FOOTER in pq.read_metadata(built.paths[0]).metadata


def test_datasets_decodes_the_pictures(built: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    rows = datasets.load_dataset("parquet", data_files=built.path, cache_dir=str(tmp_path))["train"]
    assert len(rows) == built.rows
    row = rows[3]
    assert (row["image"].size, row["image"].mode) == ((SIZE, SIZE), "RGB")
    assert (row["mask"].size, row["mask"].mode) == ((SIZE, SIZE), "L")
    assert row["control"].size == (SIZE, SIZE)
    assert [len(row["keypoints"]), len(row["keypoints"][0])] == [18, 3]


@pytest.mark.parametrize("shard_size", [1, 3, 100])
def test_the_digest_does_not_depend_on_shards(sources: Path, built: Manifest, tmp_path: Path, shard_size: int) -> None:
    again = build(
        sources, tmp_path / "v1.parquet", tmp_path / "work", recipe(**REJECTING), shard_size=shard_size
    ).written
    assert again.digest == built.digest
    assert _rows(Manifest(again.paths[0])) == _rows(built)
    here, there = (pq.read_table(path) for path in (again.rejected_path, built.rejected_path))
    assert here.equals(there)


def test_the_digest_sees_every_change(sources: Path, built: Manifest, tmp_path: Path) -> None:
    other = build(sources, tmp_path / "v1.parquet", tmp_path / "work", recipe()).written
    assert other.digest != built.digest
    (row, *_) = _rows(built)
    for column in SCHEMA.names:
        one, two = RowsDigest(), RowsDigest()
        one.add(row)
        two.add({**row, column: None})
        assert (one.value == two.value) == (row[column] is None)


def test_digests_stay_the_same_for_ever() -> None:
    """Another value would make the digests of all published manifests unprovable."""
    picture = {"bytes": b"png", "path": "elsewhere.png"}
    row = {"variation_id": "a", "image": picture, "keypoints": [[0.1, 0.2, 1.0]] * 18, "attempt": 1, "pose_score": 0.9}
    digest = RowsDigest()
    digest.add({**dict.fromkeys(SCHEMA.names), **row})
    assert digest.value == "970a631eee9d067e1f6898fc6f51618a891095bd36ec4b90eea56b5c3a0644c7"


@settings(max_examples=30)
@given(st.permutations(range(12)), st.integers(0, 12))
def test_parts_digests_add_up_in_any_order(order: list[int], cut: int) -> None:
    rows = [{"variation_id": f"{n}", "pose_score": n / 7, "image": {"bytes": b"x", "path": f"{n}"}} for n in range(12)]
    whole, first, second = RowsDigest(), RowsDigest(), RowsDigest()
    for row in rows:
        whole.add(row)
    for place, number in enumerate(order):
        (first if place < cut else second).add({**rows[number], "image": {"bytes": b"x", "path": "elsewhere"}})
    total = RowsDigest()
    total.merge(second.value)
    total.merge(first.value)
    assert total.value == whole.value
    first.add(rows[0])
    total.merge(first.value)
    assert total.value != whole.value


@pytest.mark.parametrize("where", ["disk", "s3"])
def test_large_manifests_become_folders(
    sources: Path, built: Manifest, tmp_path: Path, where: str, request: pytest.FixtureRequest
) -> None:
    root = str(request.getfixturevalue("s3")) if where == "s3" else str(tmp_path)
    path, work = f"{root}/out/v1.parquet", f"{root}/work"
    single = build(sources, path, work, recipe(**REJECTING)).written
    assert single.paths == [path]
    parts = build(sources, path, work, recipe(**REJECTING), max_part_bytes=20_000).written
    assert len(parts.paths) > 2
    assert parts.paths == [
        part_path(path, number, Manifest(path).footer["generation"]) for number in range(len(parts.paths))
    ]
    assert not store.exists(path), "the single file of before is still there"
    manifest = Manifest(path)
    assert Manifest(manifest_stem(path)).paths == manifest.paths == parts.paths
    assert manifest.digest == parts.digest == built.digest
    assert manifest.rows == built.rows
    assert _rows(manifest) == _rows(built)
    assert validate(path) == []
    store.remove(parts.paths[1])
    with pytest.raises(UserError, match="parts are missing"):
        Manifest(path)
    assert [str(problem) for problem in validate(path)] == [
        f"manifest {path}: parts are missing or of different builds; build it again"
    ]
    again = build(sources, path, work, recipe(**REJECTING)).written
    assert store.list_files(manifest_stem(path)) == []
    assert Manifest(path).digest == again.digest == built.digest
    if where == "disk":
        assert sorted(os.listdir(tmp_path / "out")) == ["__rejected__", "v1.parquet"]
        assert [again.rejected_path] == store.list_files(f"{root}/out/__rejected__")


def test_a_build_in_an_object_store(sources: Path, built: Manifest, s3: str) -> None:
    written = build(sources, f"{s3}/out/v1.parquet", f"{s3}/work", recipe(**REJECTING)).written
    assert written.digest == built.digest
    assert validate(f"{s3}/out/v1.parquet") == []
    stages = recipe(**REJECTING)
    build(sources, f"{s3}/out/v1.parquet", f"{s3}/work", stages)
    assert isinstance(stages[1], ToySubjects)
    assert isinstance(stages[2], ToyVariations)
    assert (stages[1].calls, stages[2].calls) == ([], [])


def test_a_failed_write_leaves_the_old_manifest(sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, work = tmp_path / "out" / "v1.parquet", tmp_path / "work"
    first = build(sources, path, work).written

    def files() -> dict[Path, bytes]:
        return {file: file.read_bytes() for file in (tmp_path / "out").rglob("*") if file.is_file()}

    before = files()
    for fragment in work.glob("v1-*/variations/*"):  # readable footer, unreadable rows
        data = fragment.read_bytes()
        fragment.write_bytes(b"PAR1" + b"\xff" * (len(data) // 2) + data[4 + len(data) // 2 :])
    with pytest.raises(DamagedFragment, match=r".+"):
        build(sources, path, work)
    assert files() == before
    assert Manifest(str(path)).digest == first.digest


def test_writing_holds_one_source_at_a_time(tmp_path: Path) -> None:
    peaks = []
    for count in (2, 10):
        sources = write_pictures(tmp_path / f"in{count}", count)
        built = build(sources, tmp_path / f"{count}.parquet", tmp_path / "work", recipe(variations={"count": 20}))
        ledger = Ledger(f"{tmp_path}/work/{count}")
        tracemalloc.start()
        write_manifest(str(tmp_path / "again.parquet"), ledger, built.fragments, Duplicates(), {})
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.5


def test_a_part_has_so_many_rows_at_most_and_whole_sources(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = build(sources, tmp_path / "whole.parquet", tmp_path / "work").written
    monkeypatch.setattr("pipeline.manifest.write.MAX_PART_ROWS", 50)
    path = str(tmp_path / "parts.parquet")
    parts = build(sources, path, tmp_path / "work").written
    assert (parts.digest, parts.rows) == (whole.digest, whole.rows)
    manifest = Manifest(path)
    assert len(parts.paths) > 1 and all(0 < footer["rows"] <= 50 for footer in manifest.footers)
    of_parts = [set(pq.read_table(part, columns=["source_id"])["source_id"].to_pylist()) for part in parts.paths]
    assert sum(map(len, of_parts)) == len(set.union(*of_parts))
    assert validate(path) == []


def test_statistics_hold_no_pieces_of_pictures(built: Manifest) -> None:
    group = pq.read_metadata(built.path).row_group(0)
    told = {(column := group.column(at)).path_in_schema: column.statistics for at in range(group.num_columns)}
    assert {name for name, statistics in told.items() if not statistics or not statistics.has_min_max} >= {
        "image.bytes", "mask.bytes", "control.bytes",
    }  # fmt: skip
    assert told["pose_score"].has_min_max


def test_names_must_say_parquet(sources: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"must end in \.parquet"):
        build(sources, tmp_path / "v1", tmp_path / "work")


def test_reading_what_is_not_there(tmp_path: Path) -> None:
    for name in ("v1.parquet", "v1"):
        with pytest.raises(UserError, match="no such file"):
            Manifest(str(tmp_path / name))
    (tmp_path / "v1.parquet").write_text("text")
    with pytest.raises(UserError, match="not a readable Parquet file"):
        Manifest(str(tmp_path / "v1.parquet"))


def test_batches_can_be_small_and_narrow(built: Manifest) -> None:
    batches = list(built.batches(["variation_id"], size=7))
    assert max(batch.num_rows for batch in batches) <= 7
    assert sum(batch.num_rows for batch in batches) == built.rows
    assert batches[0].schema.names == ["variation_id"]
