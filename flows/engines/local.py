"""The local engine: threads of this process."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture
from prefect.task_runners import ThreadPoolTaskRunner

from flows.engines.threads import reporting
from pipeline.runner.engine import Chain
from pipeline.runner.ledger import DamagedFragment, Fragment
from pipeline.runner.plan import Shard
from pipeline.runner.run_stage import Report
from pipeline.runner.task import StageTask


@dataclass(frozen=True)
class LocalEngine:
    """Every stage of every shard is one Prefect task, run by one of a few threads of this process.

    A shard's next task is submitted when the one before is done, and no more than a window of shards is under way, so
    that neither Prefect's server nor this process ever holds thousands of tasks.

    Attributes:
        workers: Threads.
        cancel: Set when anything goes wrong, so that the other threads stop after the row at hand.
    """

    workers: int
    cancel: threading.Event = field(default_factory=threading.Event)

    @property
    def window(self) -> int:
        """Shards under way: one more than there are threads keeps all of them busy."""
        return self.workers + 1

    def __call__(self, shards: Sequence[Shard], tasks: Sequence[StageTask]) -> list[Chain]:
        """See :class:`pipeline.runner.engine.Engine`. Must be called inside a flow."""
        chains: dict[str, Chain] = {shard.name: [] for shard in shards}
        if not tasks:
            return list(chains.values())
        by_name = {shard.name: shard for shard in shards}
        stop = threading.Event()
        report = reporting(self.cancel, stop)
        prefect_tasks = [_prefect_task(task, by_name, report) for task in tasks]
        waiting = iter(shards)
        done: queue.SimpleQueue[tuple[Shard, PrefectFuture[Fragment]]] = queue.SimpleQueue()

        threads: ThreadPoolTaskRunner[Fragment] = ThreadPoolTaskRunner(max_workers=self.workers)
        with threads as runner:

            def submit(shard: Shard) -> None:
                chain = chains[shard.name]
                parameters = {"shard": shard.name, "before": chain[-1] if chain else None}
                future = runner.submit(prefect_tasks[len(chain)], parameters)
                future.add_done_callback(lambda future: done.put((shard, future)))

            try:
                under_way = 0
                for shard in itertools.islice(waiting, self.window):
                    submit(shard)
                    under_way += 1
                while under_way:
                    shard, future = done.get()
                    chains[shard.name].append(future.result())
                    next_up = shard if len(chains[shard.name]) < len(tasks) else next(waiting, None)
                    if next_up is None:
                        under_way -= 1
                    else:
                        submit(next_up)
            except BaseException as error:
                # before the runner waits for its threads; of damage the build mends itself, and goes on
                (stop if isinstance(error, DamagedFragment) else self.cancel).set()
                raise
        return list(chains.values())


def _prefect_task(task: StageTask, shards: dict[str, Shard], report: Report) -> Task[Any, Fragment]:
    def run(shard: str, before: Fragment | None) -> Fragment:
        return task.run(shards[shard], before, report)

    # the ledger knows what is done; Prefect need not keep or look up anything
    return Task(
        run,
        name=task.name,
        task_run_name=f"{task.name} {{shard}}",
        cache_policy=NO_CACHE,
        persist_result=False,
    )
