"""The local engine: threads of this process."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from prefect.task_runners import ThreadPoolTaskRunner

from flows.engines.scheduled import Drive, Landed, prefect_task
from flows.engines.threads import reporting
from pipeline.runner.engine import Chain
from pipeline.runner.ledger import DamagedFragment
from pipeline.runner.plan import Shard
from pipeline.runner.task import StageTask


@dataclass(frozen=True)
class LocalEngine:
    """Every stage of every shard is one Prefect task, run by one of a few threads of this process.

    Attributes:
        workers: Threads.
        cancel: Set when anything goes wrong, so that the other threads stop after the row at hand.
    """

    elsewhere: ClassVar[bool] = False

    workers: int
    cancel: threading.Event = field(default_factory=threading.Event)

    @property
    def window(self) -> int:
        """Shards under way: one more than there are threads keeps all of them busy."""
        return self.workers + 1

    def __call__(self, shards: Sequence[Shard], tasks: Sequence[StageTask]) -> list[Chain]:
        """See :class:`pipeline.runner.engine.Engine`. Must be called inside a flow."""
        if not tasks:
            return [[] for _ in shards]
        stop = threading.Event()
        report = reporting(self.cancel, stop)
        threads: ThreadPoolTaskRunner[list[Landed]] = ThreadPoolTaskRunner(max_workers=self.workers)
        with threads as runner:
            drive = Drive(runner, [prefect_task(task, report) for task in tasks], lambda: self.window, self.cancel)
            try:
                return drive(shards)
            except BaseException as error:
                # before the runner waits for its threads; of damage the build mends itself, and goes on
                (stop if isinstance(error, DamagedFragment) else self.cancel).set()
                raise
