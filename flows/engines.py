"""Engines: how the steps of a build are spread over workers. One for now, threads of this process."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture
from prefect.task_runners import ThreadPoolTaskRunner

from pipeline.runner.engine import Chain, Step
from pipeline.runner.ledger import Fragment
from pipeline.runner.plan import Shard


@dataclass(frozen=True)
class LocalEngine:
    """Every step of every shard is one Prefect task, run by one of a few threads of this process.

    A shard's next task is submitted when the one before is done, and no more than a window of shards is under way, so
    that neither Prefect's server nor this process ever holds thousands of tasks.

    Attributes:
        workers: Threads.
        cancel: Set when anything goes wrong, so that the other threads stop soon.
    """

    workers: int
    cancel: threading.Event

    @property
    def window(self) -> int:
        """Shards under way: one more than there are threads keeps all of them busy."""
        return self.workers + 1

    def __call__(self, shards: Sequence[Shard], steps: Sequence[Step]) -> list[Chain]:
        """See :class:`pipeline.runner.engine.Engine`. Must be called inside a flow."""
        chains: dict[str, Chain] = {shard.name: [] for shard in shards}
        if not steps:
            return list(chains.values())
        by_name = {shard.name: shard for shard in shards}
        tasks = [_task(step, by_name) for step in steps]
        waiting = iter(shards)
        done: queue.SimpleQueue[tuple[Shard, PrefectFuture[Fragment]]] = queue.SimpleQueue()

        threads: ThreadPoolTaskRunner[Fragment] = ThreadPoolTaskRunner(max_workers=self.workers)
        with threads as runner:

            def submit(shard: Shard) -> None:
                chain = chains[shard.name]
                parameters = {"shard": shard.name, "before": chain[-1] if chain else None}
                future = runner.submit(tasks[len(chain)], parameters)
                future.add_done_callback(lambda future: done.put((shard, future)))

            try:
                under_way = 0
                for shard in itertools.islice(waiting, self.window):
                    submit(shard)
                    under_way += 1
                while under_way:
                    shard, future = done.get()
                    chains[shard.name].append(future.result())
                    next_up = shard if len(chains[shard.name]) < len(steps) else next(waiting, None)
                    if next_up is None:
                        under_way -= 1
                    else:
                        submit(next_up)
            except BaseException:
                self.cancel.set()  # before the runner waits for its threads
                raise
        return list(chains.values())


def _task(step: Step, shards: dict[str, Shard]) -> Task[Any, Fragment]:
    def run(shard: str, before: Fragment | None) -> Fragment:
        return step.run(shards[shard], before)

    # the ledger knows what is done; Prefect need not keep or look up anything
    return Task(
        run,
        name=step.name,
        task_run_name=f"{step.name} {{shard}}",
        cache_policy=NO_CACHE,
        persist_result=False,
    )
