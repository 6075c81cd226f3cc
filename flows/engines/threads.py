"""The engine that needs nobody: threads of this process, without Prefect."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import ClassVar

from pipeline.runner import events
from pipeline.runner.engine import Chain, through
from pipeline.runner.ledger import DamagedFragment
from pipeline.runner.plan import Shard
from pipeline.runner.run_stage import Cancelled, Report
from pipeline.runner.task import StageTask


@dataclass(frozen=True)
class ThreadEngine:
    """Shards side by side on a few threads. See :class:`pipeline.runner.engine.Engine`.

    Attributes:
        workers: Threads.
        cancel: Set when anything goes wrong, so that the other threads stop after the row at hand.
    """

    elsewhere: ClassVar[bool] = False

    workers: int
    cancel: threading.Event = field(default_factory=threading.Event)

    def __call__(self, shards: Sequence[Shard], tasks: Sequence[StageTask]) -> list[Chain]:
        stop = threading.Event()
        report = reporting(self.cancel, stop)
        with ThreadPoolExecutor(self.workers) as pool:
            try:
                return list(pool.map(lambda shard: through(shard, tasks, report), shards))
            except BaseException as error:
                # before the pool waits for its threads; of damage the build mends itself, and goes on
                (stop if isinstance(error, DamagedFragment) else self.cancel).set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def reporting(*stops: threading.Event) -> Report:
    """A report to all listeners that stops its stage once one of the events is set."""

    def report(progress: events.Progress) -> None:
        events.emit(progress)
        if any(stop.is_set() for stop in stops) and not progress.finished:
            raise Cancelled(f"{progress.stage} {progress.shard}")

    return report
