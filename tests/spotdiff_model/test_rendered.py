"""The renders that the other tests stand on are a manifest as any build writes one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from pipeline.manifest.read import Manifest
from pipeline.manifest.validate.manifest import validate


def test_rendered_manifests_are_sound(rendered: Path) -> None:
    assert validate(str(rendered)) == []
    manifest = Manifest(str(rendered))
    splits = [split for batch in manifest.batches(["split"]) for split in batch.column(0).to_pylist()]
    assert Counter(splits) == {"train": 96, "validation": 16, "test": 16}
