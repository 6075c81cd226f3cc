"""The engine that needs nobody: threads of this process, without Prefect."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from pipeline.runner import events
from pipeline.runner.engine import Chain, through
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

    workers: int
    cancel: threading.Event = field(default_factory=threading.Event)

    def __call__(self, shards: Sequence[Shard], tasks: Sequence[StageTask]) -> list[Chain]:
        report = reporting(self.cancel)
        with ThreadPoolExecutor(self.workers) as pool:
            try:
                return list(pool.map(lambda shard: through(shard, tasks, report), shards))
            except BaseException:
                self.cancel.set()  # before the pool waits for its threads
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def reporting(cancel: threading.Event) -> Report:
    """A report to all listeners that stops its stage once ``cancel`` is set."""

    def report(progress: events.Progress) -> None:
        events.emit(progress)
        if cancel.is_set() and not progress.finished:
            raise Cancelled(f"{progress.stage} {progress.shard}")

    return report
