"""What benchmarks of the engine ``ray`` share: Prefect and Ray of their own, and a build in a flow."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from pipeline.runner import events
from pipeline.runner.build import Build

HERE = Path(__file__).parent
MODULES = (HERE.parent, HERE.parent / "tests" / "pipeline", HERE)
"""Where Ray's workers find ours, the toy stages and the benchmarks."""
STORE_BYTES = 80 << 20


@contextmanager
def on_ray(folder: Path, cores: int, gpus: int = 0) -> Iterator[float]:
    """A server, and a cluster of one machine, while the block runs; gives the seconds that they took to start.

    Args:
        folder: For their files; a short name, since Ray's sockets lie below.
        cores, gpus: What Ray is told to have.
    """
    os.environ.update(
        PYTHONPATH=os.pathsep.join([*map(str, MODULES), *sys.path]),
        OMP_NUM_THREADS="1",
        RAY_AUTH_MODE="disabled",
        RAY_USAGE_STATS_ENABLED="0",
        RAY_TMPDIR=str(folder),
        RAY_worker_niceness="0",  # as everything else on this machine
        PREFECT_HOME=str(folder / "prefect"),
        PREFECT_SERVER_ANALYTICS_ENABLED="false",
        PREFECT_LOGGING_LEVEL="CRITICAL",
        PREFECT_LOGGING_TO_API_ENABLED="false",
    )
    import ray
    from prefect.context import refresh_global_settings_context

    from flows.server import running_server

    begun = time.monotonic()
    with running_server(folder / "server.log") as server:
        ray.init(
            "local",
            num_cpus=cores,
            num_gpus=gpus,
            object_store_memory=STORE_BYTES,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
        )
        server.wait()
        os.environ["PREFECT_API_URL"] = server.url
        refresh_global_settings_context()
        try:
            yield time.monotonic() - begun
        finally:
            ray.shutdown()


def build_on_ray(build: Build) -> str:
    """Runs a build; gives the manifest's digest."""
    from flows.build_dataset import build_dataset, handed
    from flows.handover import Handover

    with handed(Handover(build, report=False)):  # as the build without Ray, which is measured alike
        return str(build_dataset(engine="ray")["digest"])


class FirstShard:
    """A listener that notes when the first shard was through its last stage."""

    def __init__(self) -> None:
        self.seconds: float | None = None

    def __call__(self, news: events.Progress) -> None:
        """Counts from the start of this process."""
        if self.seconds is None and news.stage == "variations" and news.finished:
            self.seconds = time.time() - psutil.Process().create_time()

    def told(self, started: float) -> str:
        """When it was, and what of that :func:`on_ray` took to start."""
        return f"{self.seconds:.1f} s ({started:.1f} s of them: server and cluster start)"


def below() -> tuple[float, float]:
    """CPU seconds of all processes below this one, the server's and Ray's, and the largest's peak memory in MB."""
    cpu = peak = 0.0
    for process in psutil.Process().children(recursive=True):
        try:
            times = process.cpu_times()
            cpu += times.user + times.system
            status = Path(f"/proc/{process.pid}/status").read_text()
        except (psutil.Error, OSError):
            continue
        peak = max(peak, *(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0)
    return cpu, peak
