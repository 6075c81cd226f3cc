"""A build without models: stages that fill rows from hashes, so that ledger, runner and manifest can be tested fast.

The real ``sources`` stage and duplicate search run before them; ids, seeds, splits and pictures are as valid as those
of a real build, only 16 px large and without meaning. Poses and pictures come from a small stock, so that drawing them
costs next to nothing: what is left is what the pipeline itself costs, which ``benchmarks/scale.py`` measures.
"""

from __future__ import annotations

import functools
import hashlib
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from PIL import Image

from pipeline import ids
from pipeline.config import Splits, build_config, load_profile
from pipeline.imaging.phash import phash
from pipeline.imaging.png import from_png, to_png
from pipeline.imaging.skeleton import draw_pose
from pipeline.inputs.listing import list_sources
from pipeline.manifest.footer import describe
from pipeline.manifest.parts import MAX_PART_BYTES
from pipeline.manifest.write import Written, write_manifest
from pipeline.records import Posed, Reason, Row, Source, Subject, Variation
from pipeline.runner.duplicates import find_duplicates
from pipeline.runner.ledger import Fragment, Ledger
from pipeline.runner.plan import shards
from pipeline.runner.run_stage import run_stage
from pipeline.stages.base import Stage
from pipeline.stages.sources import Sources

SIZE = 16
LINE_WIDTH = 0.03  # of the tiny profile
SPLITS = Splits(validation=0.1, test=0.1)
STOCK = 64
"""Different pictures in stock; of poses there are 256."""
Calls = list[str] | deque[str]


def picture(seed: int | str, size: int = SIZE) -> Image.Image:
    """Coarse noise, so that perceptual hashes differ."""
    rng = np.random.default_rng(int(ids.digest(["toy", seed])[:15], 16))
    return Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8)).resize((size, size), Image.Resampling.BICUBIC)


def write_pictures(folder: Path, count: int, first: int = 0) -> Path:
    """Source pictures ``00000.png`` ...."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        picture(f"source {number}", 64).save(folder / f"{number:05d}.png")
    return folder


@functools.cache
def _stocked(number: int) -> tuple[bytes, str, str]:
    """PNG, sha256 and perceptual hash of a picture."""
    png = to_png(picture(number))
    return png, hashlib.sha256(png).hexdigest(), phash(from_png(png))


@functools.cache
def _pose(number: int) -> tuple[list[list[float]], bytes]:
    """Keypoints and their control image."""
    points = np.random.default_rng(number).random((18, 3)).round(4).tolist()
    return points, to_png(draw_pose(points, SIZE, LINE_WIDTH))


@functools.cache
def _mask() -> bytes:
    mask = Image.new("L", (SIZE, SIZE))
    mask.paste(255, (4, 2, 12, 15))
    return to_png(mask)


@dataclass(frozen=True)
class ToyPoses:
    name: ClassVar[str] = "poses"
    version: ClassVar[int] = 1
    row: ClassVar[type[Row]] = Posed

    def settings(self) -> dict[str, Any]:
        return {}

    def expand(self, rows: Sequence[Source]) -> list[Posed]:
        return [row.grow(Posed) for row in rows]

    def process(self, rows: Sequence[Posed]) -> Iterator[Posed]:
        for row in rows:
            points, control = _pose(int(row.source_id[:2], 16))
            yield row.grow(
                Posed,
                pose_id=ids.pose_id(row.source_id, points),
                split=ids.split_of(row.source_id, 0, SPLITS),
                keypoints=points,
                control=control,
            )


@dataclass(frozen=True)
class ToySubjects:
    """One in ``rejects`` attempts is rejected; one in ``fails`` slots fails while the file ``broken`` exists."""

    count: int = 3
    rejects: int = 0
    fails: int = 0
    broken: str = ""
    calls: Calls = field(default_factory=list, compare=False)

    name: ClassVar[str] = "subjects"
    version: ClassVar[int] = 1
    row: ClassVar[type[Row]] = Subject

    def settings(self) -> dict[str, Any]:
        return {"count": self.count, "rejects": self.rejects}

    def expand(self, rows: Sequence[Posed]) -> list[Subject]:
        return [
            row.grow(
                Subject, source_image=None, subject_id=f"{row.split}-s{n}", subject_prompt=f"figure {row.split} {n}"
            )
            for row in rows
            for n in range(self.count)
        ]

    def process(self, rows: Sequence[Subject]) -> Iterator[Subject]:
        for row in rows:
            self.calls.append(str(row))
            seed = ids.seed_for(row.source_id, self.name, row.subject_id, "", row.subject_attempt, 0)
            if self.fails and _hash(str(row)) % self.fails == 0 and Path(self.broken).exists():
                yield row.fail("ConnectionError: the model went away")
                continue
            made = row.grow(
                Subject,
                subject_seed=seed,
                subject_image=_stocked(seed % STOCK)[0],
                pose_score=0.9,
                people=1,
                mask=_mask(),
                mask_score=0.95,
                mask_area=8 * 13 / SIZE**2,
                clip_t_subject=0.3,
            )
            yield made.reject(Reason.POSE_NOT_KEPT) if self.rejects and seed % self.rejects == 0 else made


def _wait_for(path: str) -> None:
    deadline = time.monotonic() + 60
    while not Path(path).exists() and time.monotonic() < deadline:
        time.sleep(0.05)


@dataclass(frozen=True)
class ToyVariations:
    count: int = 4
    rejects: int = 0
    seconds: float = 0.0
    gate: str = ""
    """A file that opens the way to a shard's second row and all after it; a minute at most."""
    calls: Calls = field(default_factory=list, compare=False)

    name: ClassVar[str] = "variations"
    version: ClassVar[int] = 1
    row: ClassVar[type[Row]] = Variation

    def settings(self) -> dict[str, Any]:
        return {"count": self.count, "rejects": self.rejects}

    def expand(self, rows: Sequence[Subject]) -> list[Variation]:
        return [
            row.grow(
                Variation,
                background_id=f"{row.split}-b{n}",
                background_prompt=f"scene {row.split} {n}",
                prompt=f"{row.subject_prompt}, scene {row.split} {n}",
                variation_id=ids.variation_id(row.source_id, row.subject_id, f"{row.split}-b{n}"),
            )
            for row in rows
            for n in range(self.count)
        ]

    def process(self, rows: Sequence[Variation]) -> Iterator[Variation]:
        for number, row in enumerate(rows):
            self.calls.append(str(row))
            if self.seconds:
                time.sleep(self.seconds)
            if self.gate and number:
                _wait_for(self.gate)
            seed = ids.seed_for(row.source_id, self.name, row.subject_id, row.background_id, row.attempt, 0)
            image, sha256, code = _stocked(seed % STOCK)
            made = row.grow(
                Variation,
                background_seed=seed,
                image=image,
                sha256=sha256,
                phash=code,
                clip_t_background=0.25,
                subject_kept=0.99,
            )
            yield made.reject(Reason.DEGENERATE) if self.rejects and seed % self.rejects == 0 else made


def recipe(**options: Any) -> tuple[ToyPoses, ToySubjects, ToyVariations]:
    return ToyPoses(), ToySubjects(**options.get("subjects", {})), ToyVariations(**options.get("variations", {}))


@dataclass(frozen=True)
class Built:
    written: Written
    fragments: list[Fragment]


def build(
    sources: str | Path,
    manifest: str | Path,
    work: str | Path,
    stages: Sequence[Stage] = recipe(),
    *,
    shard_size: int = 2,
    retry: Literal["failed", "rejected"] | None = None,
    max_part_bytes: int = MAX_PART_BYTES,
) -> Built:
    """A whole build in one thread, as the local engine does it."""
    subjects, variations = stages[1], stages[2]
    assert isinstance(subjects, ToySubjects)
    assert isinstance(variations, ToyVariations)
    config = build_config(
        sources=(str(sources),),
        manifest=str(manifest),
        work=str(work),
        subjects=subjects.count,
        backgrounds=variations.count,
    )
    ledger = Ledger(f"{work}/{config.run}")
    listing = shards(list_sources(config.sources), shard_size)
    first = [
        run_stage(Sources(size=SIZE), lambda s=shard: s.rows, shard.digest, shard.name, ledger, retry=retry)
        for shard in listing
    ]
    rows = [row for fragment in first for row in ledger.read(fragment, Source, ["source_image"])]
    duplicates = find_duplicates(rows, 4)
    fragments = list(first)
    for shard, read in zip(listing, first, strict=True):
        given = duplicates.digest(read)
        rows_of: Any = lambda f=read: duplicates.mark(ledger.read(f, Source))  # noqa: E731
        for stage in stages:
            fragment = run_stage(stage, rows_of, given, shard.name, ledger, retry=retry)
            fragments.append(fragment)
            given, rows_of = fragment.digest, lambda f=fragment, kind=stage.row: ledger.read(f, kind)
    footer = describe(load_profile("tiny"), config)
    written = write_manifest(str(manifest), ledger, fragments, duplicates, footer, max_part_bytes)
    return Built(written, fragments)


def _hash(text: str) -> int:
    return int(ids.digest(text)[:8], 16)
