"""WebDataset shards, read by the ``webdataset`` library, a torch DataLoader and ``datasets``."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.exports.export import export
from pipeline.manifest.read import Manifest

Rows = dict[str, dict[str, Any]]
_COLUMN = {"png": "image", "mask.png": "mask", "control.png": "control"}


@pytest.fixture(scope="module")
def there(toys: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wds") / "out"
    export(toys.path, "webdataset", str(folder))
    return folder


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def test_webdataset_and_a_torch_loader_read_it(there: Path, rows: Rows, counts: dict[str, int]) -> None:
    import webdataset
    from torch.utils.data import DataLoader

    seen: dict[str, str] = {}
    for split in counts:
        urls = sorted(str(path) for path in there.glob(f"{split}-*.tar"))
        samples = webdataset.WebDataset(urls, shardshuffle=False).decode("pil")
        for sample in DataLoader(samples, batch_size=None):
            ours = rows[sample["__key__"]]
            seen[sample["__key__"]] = split
            assert set(sample) >= {"png", "mask.png", "control.png", "txt", "json"}
            for suffix, column in _COLUMN.items():
                assert np.array_equal(
                    np.asarray(sample[suffix]), np.asarray(Image.open(io.BytesIO(ours[column]["bytes"])).convert("RGB"))
                )
            assert sample["txt"] == ours["prompt"]
            assert sample["json"] == {name: ours[name] for name in ours if name not in ("image", "mask", "control")}
    assert seen == {name: row["split"] for name, row in rows.items()}


def test_datasets_reads_it(there: Path, rows: Rows, counts: dict[str, int], tmp_path: Path) -> None:
    from datasets import load_dataset

    found = load_dataset(str(there), cache_dir=str(tmp_path))
    assert {split: len(part) for split, part in found.items()} == counts
    row = found["test"][0]
    assert np.array_equal(np.asarray(row["png"]), pixels(rows[row["__key__"]]["image"]["bytes"]))


def test_the_same_rows_give_the_same_shards(there: Path, toys: Manifest, tmp_path: Path) -> None:
    export(toys.path, "webdataset", str(tmp_path / "again"))
    for path in there.glob("*.tar"):
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()
        with tarfile.open(path) as tar:
            assert {(member.mtime, member.uid, member.isfile()) for member in tar} == {(0, 0, True)}
