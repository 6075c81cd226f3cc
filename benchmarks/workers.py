"""What a second worker brings: the same build on Ray with 1 and with 2 workers of one thread each, by turns.

    python benchmarks/workers.py [--sources 24] [--repeats 3] [--work wait|cpu] [--seconds 0.1]

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
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil
from rich.console import Console
from scale import NullPoses, NullSources, NullSubjects, NullVariations

from pipeline.config import build_config
from pipeline.records import Variation
from pipeline.runner import events
from pipeline.runner.build import Build, open_build

HERE = Path(__file__).parent
SETTINGS = {
    "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE), *sys.path]),  # for Ray's workers
    "OMP_NUM_THREADS": "1",
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_TO_API_ENABLED": "false",
}
STORE_BYTES = 80 << 20


@dataclass(frozen=True)
class SlowVariations(NullVariations):
    """One that takes its time."""

    seconds: float = field(default=0.1, compare=False)
    work: str = field(default="wait", compare=False)

    def process(self, rows: Sequence[Variation]) -> Iterator[Variation]:
        for row in super().process(rows):
            if self.work == "wait":
                time.sleep(self.seconds)
            else:
                _compute(self.seconds)
            yield row


def _compute(seconds: float) -> None:
    """So much time of this thread on a core, however long that takes."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        sum(range(10_000))


class Firsts:
    """When the first shard was through its last stage."""

    def __init__(self) -> None:
        self.first: float | None = None

    def __call__(self, news: events.Progress) -> None:
        if self.first is None and news.stage == "variations" and news.finished:
            self.first = time.time()


def main() -> int:
    arguments = _arguments()
    folder = Path(tempfile.mkdtemp(prefix="spotdiff-workers-"))
    os.environ.update(SETTINGS, PREFECT_HOME=str(folder / "prefect"), RAY_TMPDIR=str(folder))
    try:
        return _measure(arguments, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _measure(arguments: argparse.Namespace, folder: Path) -> int:
    import ray
    from prefect.context import refresh_global_settings_context
    from ray.cluster_utils import Cluster

    from flows.server import running_server

    console = Console(soft_wrap=True)
    (folder / "in").mkdir()
    for number in range(arguments.sources):
        (folder / "in" / f"{number:06d}.png").touch()
    with running_server(folder / "server.log") as server:
        server.wait()
        os.environ["PREFECT_API_URL"] = server.url
        refresh_global_settings_context()
        machine = {"num_cpus": 2, "num_gpus": 1, "object_store_memory": STORE_BYTES, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=machine)
        ray.init(cluster.address, log_to_driver=False, logging_level="ERROR")
        first = Firsts()
        with events.listening(first):
            _run(arguments, folder, "warm", 2)  # processes start, libraries load
        assert first.first is not None
        seconds = first.first - psutil.Process().create_time()
        console.print(f"{4 * arguments.sources} tasks; from nothing to the first finished shard: {seconds:.1f} s")
        ratios = []
        for number in range(arguments.repeats):
            one, two = (_run(arguments, folder, f"{number}-{workers}", workers) for workers in (1, 2))
            ratios.append(one / (2 * two))
            load = os.getloadavg()[0]
            console.print(f"1 worker {one:.1f} s, 2 workers {two:.1f} s: efficiency {ratios[-1]:.3f} (load {load:.1f})")
        console.print(f"median efficiency {statistics.median(ratios):.3f} ({arguments.work}, {os.cpu_count()} cores)")
        ray.shutdown()
        cluster.shutdown()
    return 0


def _run(arguments: argparse.Namespace, folder: Path, name: str, workers: int) -> float:
    """Seconds that a build takes inside its flow, the manifest included."""
    from flows.build_dataset import build_dataset, handed
    from flows.handover import Handover

    build = _open(arguments, folder / name, folder / "in")
    shared = replace(build, profile=build.profile.model_copy(update={"gpus": 1 / workers}))
    begun = time.monotonic()
    with handed(Handover(shared)):
        build_dataset(engine="ray")
    return time.monotonic() - begun


def _open(arguments: argparse.Namespace, folder: Path, sources: Path) -> Build:
    config = build_config(
        sources=(str(sources),),
        manifest=str(folder / "m.parquet"),
        work=str(folder / "work"),
        subjects=1,
        backgrounds=10,
        shard_size=1,
    )
    variations = SlowVariations(10, arguments.seconds, arguments.work)
    return open_build(config, [NullSources(), NullPoses(), NullSubjects(1), variations])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sources", type=int, default=24, help="Shards: one source each, ten variations.")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--work", choices=("wait", "cpu"), default="wait")
    parser.add_argument("--seconds", type=float, default=0.1, help="That a variation takes.")
    return parser.parse_args()


if __name__ == "__main__":
    from workers import main as importable  # so that Ray's workers find the stages by the module's name

    sys.exit(importable())
