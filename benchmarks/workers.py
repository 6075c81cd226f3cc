"""What a second worker brings: the same build on Ray with 1 and with 2 workers of one thread each, by turns.

    python benchmarks/workers.py [--sources 12] [--repeats 2] [--work wait|cpu] [--seconds 0.5]

A Ray cluster of this process has two cores and one GPU that is not there; a task takes all of that GPU, or half.
``wait``: a variation takes its seconds waiting, as for a GPU, so that what is lost is what the engine costs. ``cpu``:
it takes them computing, so that two workers need two free cores. Both counts run in turn on the same cluster, and the
efficiency ``T1 / (2 T2)`` is that of each pair; also printed: from the command's start to the first finished shard.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "pipeline"))
from on_ray import FirstShard, build_on_ray, on_ray
from scale import NullSources
from toy_stages import ToyPoses, ToySubjects, ToyVariations

from pipeline.config import build_config
from pipeline.records import Variation
from pipeline.runner import events
from pipeline.runner.build import open_build

VARIATIONS = 10


@dataclass(frozen=True)
class BusyVariations(ToyVariations):
    """Computes for as long as the other one waits."""

    def process(self, rows: Sequence[Variation]) -> Iterator[Variation]:
        for row in ToyVariations(self.count).process(rows):
            end = time.thread_time() + self.seconds
            while time.thread_time() < end:
                sum(range(10_000))
            yield row


def main() -> int:
    arguments = _arguments()
    folder = Path(tempfile.mkdtemp(prefix="w"))
    try:
        with on_ray(folder, cores=2, gpus=1) as started:
            _measure(arguments, folder, started)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def _measure(arguments: argparse.Namespace, folder: Path, started: float) -> None:
    console = Console(soft_wrap=True)
    (folder / "in").mkdir()
    for number in range(arguments.sources):
        (folder / "in" / f"{number:06d}.png").touch()
    first = FirstShard()
    with events.listening(first):
        _run(arguments, folder, "warm", 2)  # processes start, libraries load
    console.print(f"{4 * arguments.sources} tasks; from nothing to the first finished shard: {first.told(started)}")
    ratios = []
    for number in range(arguments.repeats):
        one, two = (_run(arguments, folder, f"{number}-{workers}", workers) for workers in (1, 2))
        ratios.append(one / (2 * two))
        load = os.getloadavg()[0]
        console.print(f"1 worker {one:.1f} s, 2 workers {two:.1f} s: efficiency {ratios[-1]:.3f} (load {load:.1f})")
    console.print(f"median efficiency {statistics.median(ratios):.3f} ({arguments.work}, {os.cpu_count()} cores)")


def _run(arguments: argparse.Namespace, folder: Path, name: str, workers: int) -> float:
    """Seconds that a build takes, the manifest included."""
    config = build_config(
        sources=(str(folder / "in"),),
        manifest=str(folder / name / "m.parquet"),
        work=str(folder / name / "work"),
        subjects=1,
        backgrounds=VARIATIONS,
        shard_size=1,
    )
    kind = ToyVariations if arguments.work == "wait" else BusyVariations
    stages = [NullSources(), ToyPoses(), ToySubjects(1), kind(VARIATIONS, seconds=arguments.seconds)]
    build = open_build(config, stages)
    build = replace(build, profile=build.profile.model_copy(update={"gpus": 1 / workers}))
    begun = time.monotonic()
    build_on_ray(build)
    return time.monotonic() - begun


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sources", type=int, default=12, help="Shards: one source each, ten variations.")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--work", choices=("wait", "cpu"), default="wait")
    parser.add_argument("--seconds", type=float, default=0.5, help="That a variation takes.")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
