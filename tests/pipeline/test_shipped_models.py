"""A build with the shipped models: real figures come out, and the same ones however the work is cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.engines.threads import ThreadEngine
from pipeline.config import build_config
from pipeline.manifest.finish import build_manifest
from pipeline.manifest.outcome import Outcome
from pipeline.manifest.read import Manifest
from pipeline.records import Variation
from pipeline.runner.build import open_build
from pipeline.runner.engine import Engine, in_turn
from pipeline.runner.ledger import Ledger
from tinyworld.world.export import export

pytestmark = pytest.mark.usefixtures("weights")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(tmp_path_factory.mktemp("world"), count=3, seed=930_000, size=128)


def run(world: Path, work: Path, engine: Engine = in_turn, **changes: Any) -> Outcome:
    told = {
        "sources": (str(world.parent / "images"),),
        "poses": str(world),
        "manifest": str(work / "v1.parquet"),
        "work": str(work / "work"),
        "subjects": 2,
        "backgrounds": 3,
        **changes,
    }
    return build_manifest(open_build(build_config(**told)), engine)


@pytest.fixture(scope="module")
def built(world: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, Path]:
    work = tmp_path_factory.mktemp("built")
    return run(world, work, shard_size=1), work


def variations(outcome: Outcome, work: Path) -> dict[str, Variation]:
    """The fragments' rows, by key."""
    (root,) = (work / "work").glob(f"{Path(outcome.manifest).stem}-*")
    ledger = Ledger(str(root))
    return {str(row): row for part in ledger.fragments("variations") for row in ledger.read(part, Variation)}


def test_most_slots_are_filled_with_all_scores(built: tuple[Outcome, Path]) -> None:
    outcome, work = built
    assert outcome.problem is None
    assert outcome.rows >= 12  # of 18
    rows = variations(outcome, work).values()
    for row in (row for row in rows if row.ok):
        assert row.image
        scores = [row.pose_score, row.mask_score, row.mask_area, row.clip_t_subject, row.clip_t_background]
        assert None not in scores
        assert (row.subject_kept or 0) > 0.9
        assert row.people == 1
    assert len({row.sha256 for row in rows}) == len(rows)


@pytest.mark.parametrize(("shard_size", "engine"), [(3, in_turn), (1, ThreadEngine(2))])
def test_shards_and_threads_do_not_show(
    world: Path, tmp_path: Path, built: tuple[Outcome, Path], shard_size: int, engine: Engine
) -> None:
    outcome = run(world, tmp_path, engine, shard_size=shard_size)
    assert outcome.digest == built[0].digest


def test_what_else_is_in_the_run_does_not_show(world: Path, tmp_path: Path, built: tuple[Outcome, Path]) -> None:
    outcome = run(world, tmp_path, limit=1)
    alone, together = variations(outcome, tmp_path), variations(*built)
    assert alone
    assert {key: row.sha256 for key, row in alone.items()} == {key: together[key].sha256 for key in alone}


def test_datasets_decodes_the_manifest(built: tuple[Outcome, Path], tmp_path: Path) -> None:
    import datasets

    loaded = datasets.load_dataset(
        "parquet", data_files=Manifest(built[0].manifest).paths, cache_dir=str(tmp_path), split="train"
    )
    assert len(loaded) == built[0].rows
    assert np.asarray(loaded[0]["image"]).shape == (64, 64, 3)
    assert np.asarray(loaded[0]["mask"]).shape == (64, 64)
