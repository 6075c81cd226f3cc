"""What the pipeline itself costs at size: stages that do nothing, so that only ledger, runner and manifest are left.

    python benchmarks/scale.py [--sources 10000] [--subjects 1] [--backgrounds 1] [--shard-size 2] [--phases build ...]

Each phase runs in a process of its own: ``build`` all of it; ``resume`` the same command again, as a flow does it;
``answer`` a finished build, from listing to outcome, as ``spotdiff build`` and ``status`` do it; ``validate`` the
manifest. Prints CPU and wall time, per row and per fragment, and peak memory.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from pipeline import ids
from pipeline.config import Splits, build_config, load_profile
from pipeline.imaging.phash import phash
from pipeline.imaging.png import from_png, to_png
from pipeline.imaging.skeleton import draw_pose
from pipeline.manifest.finish import build_manifest, finish, written
from pipeline.manifest.validate.manifest import validate
from pipeline.records import Listed, Posed, Row, Source, Subject, Variation
from pipeline.runner.build import Build, open_build

SIZE = 16
PICTURES = 64
PHASES = ("build", "resume", "answer", "validate")


@functools.cache
def pictures() -> list[tuple[bytes, str, str]]:
    """A few pictures to choose from: PNG, sha256, perceptual hash."""
    chance = np.random.default_rng(0)
    made = []
    for _ in range(PICTURES):
        coarse = Image.fromarray(chance.integers(0, 256, (4, 4, 3), np.uint8))
        png = to_png(coarse.resize((SIZE, SIZE), Image.Resampling.BICUBIC))
        made.append((png, hashlib.sha256(png).hexdigest(), phash(from_png(png))))
    return made


@functools.cache
def mask() -> bytes:
    image = Image.new("L", (SIZE, SIZE))
    image.paste(255, (4, 2, 12, 15))
    return to_png(image)


@functools.cache
def splits() -> Splits:
    return load_profile("tiny").splits


@functools.cache
def control(height: int) -> bytes:
    """Of a pose whose joints all lie at one height, in 256ths."""
    return to_png(draw_pose(points(height), SIZE, load_profile("tiny").poses.line_width))


def points(height: int) -> list[list[float]]:
    return [[(joint + 1) / 20, height / 256, 1.0] for joint in range(18)]


def picture(name: str) -> tuple[bytes, str, str]:
    return pictures()[int(name[:8], 16) % PICTURES]


@dataclass(frozen=True)
class NullSources:
    name: ClassVar[str] = "sources"
    version: ClassVar[int] = 1
    row: ClassVar[type[Row]] = Source

    def settings(self) -> dict[str, Any]:
        return {}

    def expand(self, rows: Sequence[Listed]) -> list[Source]:
        return [row.grow(Source, source_id=ids.source_id(row.path)) for row in rows]

    def process(self, rows: Sequence[Source]) -> Iterator[Source]:
        for row in rows:
            name = hashlib.sha256(row.path.encode()).hexdigest()
            yield row.grow(
                Source,
                source_image=picture(name)[0],
                frame=[0.0, 0.0, float(SIZE)],
                source_width=SIZE,
                source_height=SIZE,
                source_phash=name[-16:],
            )


@dataclass(frozen=True)
class NullPoses:
    name: ClassVar[str] = "poses"
    version: ClassVar[int] = 1
    row: ClassVar[type[Row]] = Posed

    def settings(self) -> dict[str, Any]:
        return {}

    def expand(self, rows: Sequence[Source]) -> list[Posed]:
        return [row.grow(Posed) for row in rows]

    def process(self, rows: Sequence[Posed]) -> Iterator[Posed]:
        for row in rows:
            height = int(row.source_id[:2], 16)
            yield row.grow(
                Posed,
                pose_id=ids.pose_id(row.source_id, points(height)),
                split=ids.split_of(row.source_id, 0, splits()),
                keypoints=points(height),
                control=control(height),
            )


@dataclass(frozen=True)
class NullSubjects:
    count: int

    name: ClassVar[str] = "subjects"
    version: ClassVar[int] = 1
    row: ClassVar[type[Row]] = Subject

    def settings(self) -> dict[str, Any]:
        return {"count": self.count}

    def expand(self, rows: Sequence[Posed]) -> list[Subject]:
        names = [f"s{number}" for number in range(self.count)]
        return [
            row.grow(Subject, source_image=None, subject_id=f"{row.split}-{name}", subject_prompt=f"figure {name}")
            for row in rows
            for name in names
        ]

    def process(self, rows: Sequence[Subject]) -> Iterator[Subject]:
        for row in rows:
            seed = ids.seed_for(row.source_id, self.name, row.subject_id, "", 0, 0)
            yield row.grow(
                Subject,
                subject_seed=seed,
                subject_image=picture(f"{seed:016x}")[0],
                pose_score=0.9,
                people=1,
                mask=mask(),
                mask_score=0.95,
                mask_area=0.40625,
                clip_t_subject=0.3,
            )


@dataclass(frozen=True)
class NullVariations:
    count: int

    name: ClassVar[str] = "variations"
    version: ClassVar[int] = 1
    row: ClassVar[type[Row]] = Variation

    def settings(self) -> dict[str, Any]:
        return {"count": self.count}

    def expand(self, rows: Sequence[Subject]) -> list[Variation]:
        return [
            row.grow(
                Variation,
                background_id=name,
                background_prompt=f"scene {name}",
                prompt=f"{row.subject_prompt}, scene {name}",
                variation_id=ids.variation_id(row.source_id, row.subject_id, name),
            )
            for row in rows
            for name in (f"{row.split}-b{number}" for number in range(self.count))
        ]

    def process(self, rows: Sequence[Variation]) -> Iterator[Variation]:
        for row in rows:
            seed = ids.seed_for(row.source_id, self.name, row.subject_id, row.background_id, 0, 0)
            image, digest, hashed = picture(row.variation_id)
            yield row.grow(
                Variation,
                background_seed=seed,
                image=image,
                sha256=digest,
                phash=hashed,
                clip_t_background=0.25,
                subject_kept=0.99,
            )


def main() -> int:
    arguments = _arguments()
    if arguments.phase:
        _phase(arguments.phase, _open(arguments))
        return 0
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="spotdiff-scale-"))
    try:
        (folder / "in").mkdir(parents=True, exist_ok=True)
        for number in range(arguments.sources):
            (folder / "in" / f"{number:06d}.png").touch()
        _report(arguments, folder)
    finally:
        if not arguments.folder:
            shutil.rmtree(folder, ignore_errors=True)
    return 0


def _report(arguments: argparse.Namespace, folder: Path) -> None:
    rows = arguments.sources * arguments.subjects * arguments.backgrounds
    fragments = 4 * -(-arguments.sources // arguments.shard_size)
    console = Console(soft_wrap=True)
    console.print(f"{rows} rows of {arguments.sources} sources, {fragments} fragments")
    table = Table(box=None)
    for name in ("phase", "wall s", "CPU s", "CPU ms a row", "CPU ms a fragment", "peak MB", ""):
        table.add_column(name, justify="right" if name else "left")
    for phase in arguments.phases:
        command = [sys.executable, __file__, "--phase", phase, "--folder", str(folder)]
        for name in ("sources", "subjects", "backgrounds", "shard_size"):
            command += [f"--{name.replace('_', '-')}", str(getattr(arguments, name))]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        told = json.loads(done.stdout.splitlines()[-1])
        numbers = (told["wall"], told["cpu"], told["cpu"] / rows * 1000, told["cpu"] / fragments * 1000, told["peak"])
        table.add_row(phase, *(f"{number:.2f}" for number in numbers), told["said"])
    console.print(table)


def _open(arguments: argparse.Namespace) -> Any:
    """Opens the build when it is called, so that the listing is measured, too."""
    folder = arguments.folder
    config = build_config(
        sources=(str(folder / "in"),),
        manifest=str(folder / "out" / "m.parquet"),
        work=str(folder / "work"),
        subjects=arguments.subjects,
        backgrounds=arguments.backgrounds,
        shard_size=arguments.shard_size,
    )
    stages = [NullSources(), NullPoses(), NullSubjects(arguments.subjects), NullVariations(arguments.backgrounds)]
    return lambda: open_build(config, stages)


def _phase(phase: str, opened: Any) -> None:
    wall, before = time.monotonic(), time.process_time()
    build: Build = opened()
    if phase in ("build", "resume"):
        said = f"digest {build_manifest(build).digest[:8]}"
    elif phase == "answer":
        found = build.scan()
        assert build.complete(found)
        assert written(build, found)
        said = f"{finish(build, found).rows} rows"
    else:
        said = f"{len(validate(build.config.manifest))} problems"
    told = {
        "wall": time.monotonic() - wall,
        "cpu": time.process_time() - before,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "said": said,
    }
    sys.stdout.write(json.dumps(told) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("sources", 10_000), ("subjects", 1), ("backgrounds", 1), ("shard-size", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--folder", type=Path, help="Work here, and leave all of it there.")
    parser.add_argument("--phases", nargs="+", choices=PHASES, default=PHASES)
    parser.add_argument("--phase", choices=PHASES, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
