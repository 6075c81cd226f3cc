"""The hub's layout, read by ``datasets`` (streaming, too), a torch DataLoader, duckdb and polars."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline.exports.export import export
from pipeline.exports.hub import write_parquet
from pipeline.manifest.read import Manifest
from pipeline.manifest.schema import PICTURES

Rows = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def there(toys: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub") / "out"
    export(toys.path, "hf", str(folder))
    return folder


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def test_datasets_reads_the_same_rows(there: Path, rows: Rows, counts: dict[str, int], tmp_path: Path) -> None:
    from datasets import load_dataset

    found = load_dataset(str(there), cache_dir=str(tmp_path))
    assert {split: len(part) for split, part in found.items()} == counts
    seen = set()
    for split, part in found.items():
        assert set(part.column_names) == set(next(iter(rows.values())))
        for row in part:
            ours = rows[row["variation_id"]]
            seen.add(row["variation_id"])
            assert ours["split"] == split
            for name in PICTURES:
                assert np.array_equal(np.asarray(row[name]), pixels(ours[name]["bytes"]))
            for name in ours.keys() - set(PICTURES):
                assert row[name] == ours[name]
    assert seen == rows.keys()


def test_datasets_streams_it_and_its_metadata(there: Path, rows: Rows, counts: dict[str, int]) -> None:
    from datasets import load_dataset

    for split, count in counts.items():
        stream = list(load_dataset(str(there), split=split, streaming=True))
        assert len(stream) == count
        assert all(
            np.array_equal(np.asarray(row["image"]), pixels(rows[row["variation_id"]]["image"]["bytes"]))
            for row in stream
        )
        light = list(load_dataset(str(there), "metadata", split=split, streaming=True))
        assert [row["variation_id"] for row in light] == [row["variation_id"] for row in stream]
        assert not set(PICTURES) & set(light[0])
        assert light[0]["keypoints"] == rows[light[0]["variation_id"]]["keypoints"]


def test_a_torch_loader_reads_it(there: Path, rows: Rows, counts: dict[str, int]) -> None:
    import torch
    from datasets import load_dataset
    from torch.utils.data import DataLoader

    def collate(batch: list[dict[str, Any]]) -> dict[str, Any]:
        images = [torch.from_numpy(np.array(row["image"])) for row in batch]
        return {"id": [row["variation_id"] for row in batch], "image": torch.stack(images)}

    data: Any = load_dataset(str(there), split="train", streaming=True)
    seen = 0
    for batch in DataLoader(data, batch_size=16, collate_fn=collate):
        for name, image in zip(batch["id"], batch["image"], strict=True):
            assert np.array_equal(image.numpy(), pixels(rows[name]["image"]["bytes"]))
            seen += 1
    assert seen == counts["train"]


def test_duckdb_and_polars_read_it(there: Path, rows: Rows, counts: dict[str, int]) -> None:
    import duckdb
    import polars

    pattern = f"{there}/data/*.parquet"
    asked = f"select split, count(*), sum(pose_score) from read_parquet('{pattern}') group by split"
    by_split = {split: (count, total) for split, count, total in duckdb.sql(asked).fetchall()}
    assert {split: count for split, (count, _) in by_split.items()} == counts
    scored = sum(row["pose_score"] for row in rows.values())
    assert sum(total for _, total in by_split.values()) == pytest.approx(scored)
    frame = polars.read_parquet(pattern)
    assert frame.height == len(rows)
    for row in frame.select("variation_id", "image", "sha256").iter_rows(named=True):
        assert row["image"]["bytes"] == rows[row["variation_id"]]["image"]["bytes"]


def test_files_keep_to_the_limits_of_the_hub(there: Path, counts: dict[str, int]) -> None:
    files = sorted(path.name for path in (there / "data").iterdir())
    assert files == sorted(f"{split}-00000-of-00001.parquet" for split in counts)
    for path in there.glob("*/*.parquet"):
        metadata = pq.read_metadata(path)
        for group in range(metadata.num_row_groups):
            columns = [metadata.row_group(group).column(at) for at in range(metadata.num_columns)]
            assert all(column.has_offset_index for column in columns)
            assert path.parent.name != "data" or metadata.row_group(group).num_rows <= 100
    assert pq.read_metadata(there / "data" / "train-00000-of-00001.parquet").num_row_groups > 1


def test_row_groups_of_large_pictures_are_smaller(toys: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    import pipeline.exports.hub as hub

    monkeypatch.setattr(hub, "GROUP_BYTES", 30_000)
    sink = io.BytesIO()
    write_parquet(sink, toys.batches(), toys.columns, 100)
    metadata = pq.read_metadata(io.BytesIO(sink.getvalue()))
    assert metadata.num_rows == toys.rows
    sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    assert 1 < max(sizes) < 40
    ids = pq.read_table(io.BytesIO(sink.getvalue()), columns=["variation_id"]).column(0).to_pylist()
    assert ids == [name for batch in toys.batches(["variation_id"]) for name in batch.column(0).to_pylist()]


def test_many_shards_hold_each_row_once(
    toys: Manifest, rows: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pipeline.exports.hub as hub

    monkeypatch.setattr(hub, "SHARD_BYTES", 25_000)
    export(toys.path, "hf", str(tmp_path / "out"))
    shards = sorted((tmp_path / "out" / "data").glob("train-*.parquet"))
    assert len(shards) > 2
    assert shards[0].name == f"train-00000-of-{len(shards):05d}.parquet"
    names = [
        name
        for path in (tmp_path / "out" / "data").iterdir()
        for name in pq.read_table(path)["variation_id"].to_pylist()
    ]
    assert sorted(names) == sorted(rows)
