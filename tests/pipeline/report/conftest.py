"""A small dataset that has all there is to show: several splits, spread scores, misses of each kind, hostile texts."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_stages import build, picture, recipe, write_pictures

from pipeline.manifest.parts import PartsWriter
from pipeline.manifest.read import Manifest
from pipeline.manifest.rejected import RejectedWriter
from pipeline.report.places import report_folder
from pipeline.report.run_pictures import RunPictures
from pipeline.report.tables import missed_table
from pipeline.report.write import write_report
from pipeline.runner.ledger import Ledger

HOSTILE = "<script>alert(1)</script>"
LICENCE = f'"/><img src=x onerror=alert(2)>{HOSTILE}'
SUBJECTS, BACKGROUNDS = 4, 6


@dataclass(frozen=True)
class Shown:
    """A manifest ``v1.parquet`` in ``folder``, and the site that shows it."""

    folder: Path
    manifest: Manifest
    run: RunPictures
    site: Path

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [row for batch in self.manifest.batches() for row in batch.to_pylist()]


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    folder = tmp_path_factory.mktemp("shown")
    sources = write_pictures(folder / "in", 14)
    hostile = sources / f"{HOSTILE}.png"  # the slash makes it a folder: the listing's path is this very text
    hostile.parent.mkdir()
    picture("hostile", 64).save(hostile)
    (sources / "broken.png").write_bytes(b"no picture")
    with open(sources / "LICENSES.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "licence_name", "attribution"])
        table.writerow([f"{HOSTILE}.png", LICENCE, LICENCE])
    stages = recipe(subjects={"count": SUBJECTS, "rejects": 5}, variations={"count": BACKGROUNDS, "rejects": 4})
    made = build(sources, folder / "toy.parquet", folder / "work", stages)
    (root,) = (folder / "work").glob("toy-*")
    manifest = _spread(Manifest(str(folder / "toy.parquet")), folder / "v1.parquet")
    for path in (*folder.glob("toy.parquet"), *folder.glob("__rejected__/toy-*")):
        path.unlink()
    run = RunPictures(Ledger(str(root)), made.fragments)
    site = Path(report_folder(manifest.path))
    write_report(manifest, str(site), run)
    return Shown(folder, manifest, run, site)


def _spread(toy: Manifest, path: Path) -> Manifest:
    """The toy's rows with scores that differ."""
    chance = np.random.default_rng(0)
    footer = {name: value for name, value in toy.footer.items() if name not in ("part", "rows", "digest", "total")}
    writer = PartsWriter(str(path), footer, 1 << 30)
    rejected = RejectedWriter(str(path), writer.generation)
    for batch in toy.batches():
        for row in batch.to_pylist():
            scores = {"pose_score": chance.uniform(0.5, 1), "clip_t_background": chance.uniform(0.2, 0.6)}
            writer.add({**row, **scores, "subject_prompt": f"{row['subject_prompt']} {HOSTILE}"})
    for miss in missed_table(toy).to_pylist():
        rejected.add_values({**miss, "pose_score": chance.uniform(0, 0.5)})
    writer.close({"rejected": rejected.close()})
    return Manifest(str(path))
