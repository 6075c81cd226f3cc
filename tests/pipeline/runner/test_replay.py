"""A stage of a shard again: equal, or which rows and columns differ and by how much."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from toy_stages import SIZE, ToySubjects, recipe, write_pictures

from pipeline.config import UserError, build_config
from pipeline.imaging.png import from_png, to_png
from pipeline.records import Subject
from pipeline.runner.build import Build, open_build
from pipeline.runner.replay import replay
from pipeline.stages.sources import Sources

STAGES = ("sources", "poses", "subjects", "variations")


@dataclass(frozen=True)
class OtherKernels(ToySubjects):
    """The same stage on a machine that computes one score and one pixel otherwise."""

    def process(self, rows: Sequence[Subject]) -> Iterator[Subject]:
        for number, row in enumerate(super().process(rows)):
            assert row.subject_image is not None
            pixels = np.array(from_png(row.subject_image))
            pixels[3, 5, 1] ^= 8
            changed = to_png(Image.fromarray(pixels))
            yield replace(row, pose_score=0.875, subject_image=changed) if number == 1 else row


def opened(folder: Path, stages: Any = None, **changes: Any) -> Build:
    values: dict[str, Any] = {"subjects": 3, "backgrounds": 4, "shard_size": 2, **changes}
    config = build_config(
        sources=(str(folder / "in"),), manifest=str(folder / "m.parquet"), work=str(folder / "work"), **values
    )
    return open_build(config, [Sources(size=SIZE), *(stages or recipe())])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "in", 5)
    (tmp_path / "in" / "again.png").write_bytes((tmp_path / "in" / "00001.png").read_bytes())
    return tmp_path


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_gives_the_same_is_equal_and_nothing_is_written(folder: Path, stage: str) -> None:
    opened(folder).run()
    files = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    stages = recipe()
    for number, shard in enumerate(opened(folder).shards):
        done = replay(opened(folder, stages), stage, shard.name)
        assert done.differences == []
        assert done.rows == done.fragment.total > 0
        assert done.fragment.shard == f"{number:06d}"
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == files
    assert bool(stages[1].calls) == (stage == "subjects"), "it is the stage that is run again, and no other"


def test_what_differs_is_named_with_how_much(folder: Path) -> None:
    opened(folder).run()
    _, subjects, variations = recipe()
    done = replay(opened(folder, (recipe()[0], OtherKernels(subjects.count), variations)), "subjects", "1")
    assert [(d.column, d.by) for d in done.differences] == [
        ("subject_image", 8.0),
        ("pose_score", pytest.approx(0.025)),
    ]
    assert len({d.row for d in done.differences}) == 1
    assert (done.differences[1].recorded, done.differences[1].replayed) == ("0.9", "0.875")


def test_slots_that_were_tried_again_are_tried_as_often(folder: Path) -> None:
    stages = recipe(subjects={"rejects": 2})
    opened(folder, stages).run()
    again = opened(folder, stages, retry="rejected")
    again.run()
    build = opened(folder, recipe(subjects={"rejects": 2}))
    rows = [row for chain in build.scan().chains for row in build.ledger.read(chain[2], Subject)]
    assert {row.subject_attempt for row in rows} >= {0, 1}
    for shard in build.shards:
        assert replay(build, "subjects", shard.name).differences == []


def test_a_row_that_failed_then_and_not_now_differs(folder: Path) -> None:
    (folder / "broken").touch()
    failing = recipe(subjects={"fails": 2, "broken": str(folder / "broken")})
    opened(folder, failing).run()
    (folder / "broken").unlink()
    build = opened(folder, failing)
    found = [d for shard in build.shards for d in replay(build, "subjects", shard.name).differences]
    assert ("failed", "ok") in {(d.recorded, d.replayed) for d in found if d.column == "status"}


@pytest.mark.parametrize(
    ("stage", "shard", "message"),
    [
        ("nonsense", "0", "no stage 'nonsense'; the build's are sources, poses, subjects, variations"),
        ("poses", "7", "no shard '7'; the build's go from 000000 to 000002"),
        ("poses", "x", "no shard 'x'"),
        ("poses", "0", "stage poses of shard 000000 is not done"),
    ],
)
def test_what_cannot_be_replayed_is_told(folder: Path, stage: str, shard: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        replay(opened(folder), stage, shard)
