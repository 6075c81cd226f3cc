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


def _by_picture(rows: Rows) -> dict[bytes, dict[str, Any]]:
    return {row["image"]["bytes"]: row for row in rows.values()}


def test_the_diffusers_scripts_way_reads_pairs(pairs: Path, rows: Rows, tmp_path: Path) -> None:
    """As its ControlNet and InstructPix2Pix scripts: a folder, and the names of three columns."""
    from datasets import load_dataset

    data = load_dataset("imagefolder", data_dir=str(pairs / "train"), cache_dir=str(tmp_path))["train"]
    known = {pixels(png).tobytes(): row for png, row in _by_picture(rows).items()}
    targets = []
    for pair in data:
        target, reference = known[np.asarray(pair["image"]).tobytes()], known[np.asarray(pair["reference"]).tobytes()]
        assert target["subject_id"] == reference["subject_id"]
        assert target["background_id"] != reference["background_id"]
        assert target["split"] == reference["split"] == "train"
        assert pair["text"] == target["prompt"]
        assert np.array_equal(np.asarray(pair["mask"]), pixels(target["mask"]["bytes"]))
        assert np.array_equal(np.asarray(pair["reference_mask"]), pixels(reference["mask"]["bytes"]))
        targets.append(target["variation_id"])
    partnered = {row["variation_id"] for row in rows.values() if row["split"] == "train" and _others(row, rows)}
    assert sorted(targets) == sorted(partnered)
    other_pose = [_others(rows[name], rows, pose=True) for name in targets]
    assert sum(map(bool, other_pose)) > len(targets) / 2


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
    known = {pixels(png).tobytes(): row for png, row in _by_picture(rows).items()}
    seen = 0
    for batch in torch.utils.data.DataLoader(data, batch_size=8):
        for number, text in enumerate(batch["text"]):
            target, reference = (
                known[batch[name][number].numpy().tobytes()] for name in ("image_file", "reference_file")
            )
            assert (target["prompt"], target["subject_id"]) == (text, reference["subject_id"])
            assert target["background_id"] != reference["background_id"]
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
