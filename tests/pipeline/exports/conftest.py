"""What the tests of exports share: one manifest of toys, in three splits and in more than one part."""

from __future__ import annotations

import os
import tempfile
from typing import Any

import pytest
from toy_stages import build, recipe, write_pictures

from pipeline.manifest.read import Manifest

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing here may ask anybody
os.environ["CROISSANT_CACHE"] = tempfile.mkdtemp(prefix="croissant-")  # it knows archives by their names alone


@pytest.fixture(scope="session")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """28 sources, some with rights of hostile text, 12 variations each less some rejects; two parts."""
    folder = tmp_path_factory.mktemp("toys")
    pictures = write_pictures(folder / "in", 28)
    rows = ["file,licence_name,licence_url,attribution,source_url", "00000.png,<script>alert(1)</script>|x,,`A` *B*,"]
    rows += [
        f"{number:05d}.png,CC0-1.0,https://example.org/cc0,Somebody,https://example.org/{number}"
        for number in range(1, 20)
    ]
    (pictures / "LICENSES.csv").write_text("\n".join(rows) + "\n")
    stages = recipe(subjects={"rejects": 9}, variations={"rejects": 11})
    built = build(pictures, folder / "toys.parquet", folder / "work", stages, max_part_bytes=250_000)
    manifest = Manifest(str(folder / "toys.parquet"))
    assert len(built.written.paths) > 1
    splits = [split for batch in manifest.batches(["split"]) for split in batch.column(0).to_pylist()]
    assert set(splits) == {"train", "validation", "test"}
    assert manifest.rows > 200
    return manifest


@pytest.fixture(scope="session")
def rows(toys: Manifest) -> dict[str, dict[str, Any]]:
    """All rows of :func:`toys` by variation."""
    return {row["variation_id"]: row for batch in toys.batches() for row in batch.to_pylist()}


@pytest.fixture(scope="session")
def counts(rows: dict[str, dict[str, Any]]) -> dict[str, int]:
    """Rows by split."""
    splits = [row["split"] for row in rows.values()]
    return {split: splits.count(split) for split in ("train", "validation", "test")}
