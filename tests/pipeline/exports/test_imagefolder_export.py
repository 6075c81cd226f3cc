"""Folders of pictures and pairs of one subject, read as ``datasets`` and the usual training scripts read them."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.config import UserError
from pipeline.exports.export import export
from pipeline.exports.pairs import partner
from pipeline.manifest.filter import Choice, filter_manifest
from pipeline.manifest.read import Manifest
from pipeline.manifest.schema import PICTURES

Rows = dict[str, dict[str, Any]]


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def test_datasets_reads_pictures_masks_and_columns(
    toys: Manifest, rows: Rows, counts: dict[str, int], tmp_path: Path
) -> None:
    from datasets import load_dataset

    export(toys.path, "imagefolder", str(tmp_path / "out"))
    by_name = load_dataset("imagefolder", data_dir=str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert {split: len(part) for split, part in by_name.items()} == counts
    found = load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert {split: len(part) for split, part in found.items()} == counts
    seen = set()
    for part in found.values():
        for row in part:
            ours = rows[row["variation_id"]]
            seen.add(row["variation_id"])
            for name in ("image", "mask", "control"):
                assert np.array_equal(np.asarray(row[name]), pixels(ours[name]["bytes"]))
            assert row["text"] == ours["prompt"]
            assert {name: row[name] for name in ours if name not in PICTURES} == {
                name: ours[name] for name in ours if name not in PICTURES
            }
    assert seen == rows.keys()


@pytest.fixture(scope="module")
def pairs(toys: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs") / "out"
    export(toys.path, "imagefolder", str(folder), pairs=True)
    return folder


def _with_pixels(rows: Rows, found: np.ndarray, **factors: str) -> list[dict[str, Any]]:
    """The rows that have this picture (toys share some) and these factors."""
    return [
        row
        for row in rows.values()
        if all(row[name] == value for name, value in factors.items())
        and np.array_equal(pixels(row["image"]["bytes"]), found)
    ]


def test_the_diffusers_scripts_way_reads_pairs(pairs: Path, rows: Rows, tmp_path: Path) -> None:
    """As its ControlNet and InstructPix2Pix scripts: a folder, and the names of three columns."""
    from datasets import load_dataset

    data = load_dataset("imagefolder", data_dir=str(pairs / "train"), cache_dir=str(tmp_path))["train"]
    targets = []
    for pair in data:
        target = rows[pair["variation_id"]]
        assert target["split"] == "train"
        assert np.array_equal(np.asarray(pair["image"]), pixels(target["image"]["bytes"]))
        same = _with_pixels(rows, np.asarray(pair["reference"]), subject_id=target["subject_id"], split="train")
        reference = next(row for row in same if row["background_id"] != target["background_id"])
        assert pair["text"] == target["prompt"]
        assert np.array_equal(np.asarray(pair["mask"]), pixels(target["mask"]["bytes"]))
        assert np.array_equal(np.asarray(pair["reference_mask"]), pixels(reference["mask"]["bytes"]))
        targets.append(target["variation_id"])
    partnered = {row["variation_id"] for row in rows.values() if row["split"] == "train" and _others(row, rows)}
    assert sorted(targets) == sorted(partnered)
    other_pose = [_others(rows[name], rows, pose=True) for name in targets]
    assert sum(map(bool, other_pose)) > len(targets) / 2


def test_diffusers_text_to_image_and_pix2pix_scripts_load_batches_of_pairs(
    pairs: Path, rows: Rows, tmp_path: Path
) -> None:
    """Their own way in: every file below ``--train_data_dir``, default column names, transforms, batches."""
    from datasets import load_dataset
    from torchvision import transforms

    files = {"train": os.path.join(pairs, "train", "**")}
    data = load_dataset("imagefolder", data_files=files, cache_dir=str(tmp_path))["train"]
    assert {"image", "text", "reference"} <= set(data.column_names)
    changed = transforms.Compose(
        [
            transforms.Resize(16, interpolation=transforms.InterpolationMode.BILINEAR),
            transforms.CenterCrop(16),
            transforms.ToTensor(),
            transforms.Normalize([0.5], [0.5]),
        ]
    )

    def prepared(examples: dict[str, list[Any]]) -> dict[str, list[Any]]:
        for column, name in (("image", "edited"), ("reference", "original")):
            examples[name] = [changed(image.convert("RGB")) for image in examples[column]]
        return examples

    def collated(examples: list[dict[str, Any]]) -> dict[str, Any]:
        pixels = {name: torch.stack([one[name] for one in examples]) for name in ("edited", "original")}
        return {**pixels, "text": [one["text"] for one in examples], "ids": [one["variation_id"] for one in examples]}

    loader = torch.utils.data.DataLoader(data.with_transform(prepared), batch_size=8, shuffle=True, collate_fn=collated)
    seen = []
    for batch in loader:
        assert batch["edited"].shape[1:] == batch["original"].shape[1:] == (3, 16, 16)
        assert not torch.equal(batch["edited"], batch["original"])
        assert batch["text"] == [rows[name]["prompt"] for name in batch["ids"]]
        wanted = [changed(Image.open(io.BytesIO(rows[name]["image"]["bytes"])).convert("RGB")) for name in batch["ids"]]
        assert torch.equal(batch["edited"], torch.stack(wanted))
        seen += batch["ids"]
    listed = (pairs / "train" / "metadata.jsonl").read_text().splitlines()
    assert sorted(seen) == sorted(json.loads(line)["variation_id"] for line in listed)


def _others(row: dict[str, Any], rows: Rows, *, pose: bool = False) -> list[str]:
    return [
        name
        for name, other in rows.items()
        if other["subject_id"] == row["subject_id"]
        and other["background_id"] != row["background_id"]
        and (not pose or other["pose_id"] != row["pose_id"])
    ]


class _Listed(torch.utils.data.Dataset[dict[str, Any]]):
    """As IP-Adapter's script reads: a JSON list of ``image_file`` and ``text``, and the folder with the files."""

    def __init__(self, listing: Path, root: Path) -> None:
        self.root, self.entries = root, json.loads(listing.read_text())

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, at: int) -> dict[str, Any]:
        entry = self.entries[at]
        read = {
            name: Image.open(os.path.join(self.root, entry[name]))
            for name in ("image_file", "reference_file", "mask_file")
        }
        return {
            "text": entry["text"],
            **{name: torch.from_numpy(np.array(image.convert("RGB"))) for name, image in read.items()},
        }


def test_the_ip_adapter_scripts_way_reads_pairs(pairs: Path, rows: Rows) -> None:
    data = _Listed(pairs / "ip_adapter_train.json", pairs)
    metadata = [json.loads(line) for line in (pairs / "train" / "metadata.jsonl").read_text().splitlines()]
    assert len(data) == len(metadata) > 100
    seen = 0
    for batch in torch.utils.data.DataLoader(data, batch_size=8):
        for number, text in enumerate(batch["text"]):
            target = rows[metadata[seen]["variation_id"]]
            assert (text, metadata[seen]["text"]) == (target["prompt"], target["prompt"])
            assert np.array_equal(batch["image_file"][number].numpy(), pixels(target["image"]["bytes"]))
            same = _with_pixels(rows, batch["reference_file"][number].numpy(), subject_id=target["subject_id"])
            assert any(row["background_id"] != target["background_id"] for row in same)
            seen += 1
    assert seen == len(metadata)


def test_a_partner_has_another_background_and_if_it_can_another_pose() -> None:
    row = ("00000/a", "p1", "b1")
    same_pose, other_pose = ("00000/b", "p1", "b2"), ("00000/c", "p2", "b2")
    assert partner(row, [row, same_pose]) == "00000/b"
    assert partner(row, [row, same_pose, other_pose]) == "00000/c"
    assert partner(row, [row, ("00000/d", "p2", "b1")]) is None


def test_subjects_before_one_background_are_told(toys: Manifest, tmp_path: Path) -> None:
    one = filter_manifest(toys.path, str(tmp_path / "one.parquet"), Choice(where="background_id = 'train-b0'"))
    with pytest.raises(UserError, match="no subject of split train stands before two backgrounds"):
        export(one.path, "imagefolder", str(tmp_path / "out"), pairs=True)
    few = filter_manifest(toys.path, str(tmp_path / "few.parquet"), Choice(sample=9, split="train"))
    with pytest.raises(UserError, match=r"--pairs: goes with --to imagefolder"):
        export(few.path, "coco", str(tmp_path / "coco"), pairs=True)
    done = export(few.path, "imagefolder", str(tmp_path / "few"), pairs=True)
    lines = (tmp_path / "few" / "train" / "metadata.jsonl").read_text().splitlines()
    assert len(lines) + int(str(done.note or "0").split()[0]) == 9
