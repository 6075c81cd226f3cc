"""What the engines under Prefect share: every stage of every shard, or of a few, is one Prefect task, whoever runs it.

A shard's next task is submitted when the one before is done, and no more than a window of tasks is under way, so that
neither Prefect's server nor this process nor a cluster ever holds thousands of them.
"""

from __future__ import annotations

import errno
import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from prefect import State, Task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import TaskRun
from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner
from prefect.tasks import exponential_backoff

from pipeline.object_store import StoreUnavailable
from pipeline.runner import events
from pipeline.runner.engine import Chain
from pipeline.runner.ledger import Fragment
from pipeline.runner.plan import Shard
from pipeline.runner.run_stage import Cancelled, Report
from pipeline.runner.task import StageTask

RETRIES, RETRY_SECONDS = 3, 5.0
"""How often Prefect runs a task again that the network or a file system broke, and the first pause; each is longer."""
_PASSING = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EREMOTEIO}
LOOK_SECONDS = 0.5
"""Between two looks at whether the build is to stop."""


class Parcel:
    """Shards on their way to their next task, each with its fragment of the one before.

    No dataclass, so that Prefect hands it on without looking into it.
    """

    def __init__(self, loads: Sequence[tuple[Shard, Fragment | None]]) -> None:
        self.loads = loads


@dataclass(frozen=True)
class Landed:
    """What comes back of a task, for each of its shards.

    Attributes:
        news: How its stage ended.
    """

    fragment: Fragment
    news: events.Progress | None


class _LastNews:
    """A report that remembers what it passed on last."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self.last: events.Progress | None = None

    def __call__(self, news: events.Progress) -> None:
        self.last = news
        self._report(news)


def prefect_task(task: StageTask, report: Report) -> Task[Any, list[Landed]]:
    """A stage as a Prefect task of ``shards`` (their names, for the dashboard) and ``parcel``.

    Args:
        task: The stage.
        report: Where the task runs, told of its progress; pickles where that is elsewhere.
    """

    def run(shards: str, parcel: Parcel) -> list[Landed]:
        landed = []
        for shard, before in parcel.loads:
            heard = _LastNews(report)
            landed.append(Landed(task.run(shard, before, heard), heard.last))
        return landed

    # the ledger knows what is done; Prefect need not keep or look up anything
    return Task(
        run,
        name=task.name,
        task_run_name=f"{task.name} {{shards}}",
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=RETRIES,
        retry_delay_seconds=exponential_backoff(RETRY_SECONDS),
        retry_jitter_factor=0.5,
        retry_condition_fn=_may_pass,
    )


def _may_pass(task: Task[Any, list[Landed]], run: TaskRun, state: State[Any]) -> bool:
    """Whether what a task raised may be gone the next time: storage that is away, not mistakes and faults."""
    error = state.result(raise_on_failure=False)
    if isinstance(error, ConnectionError | TimeoutError | StoreUnavailable):
        return True
    return isinstance(error, OSError) and error.errno in _PASSING


@dataclass
class Drive:
    """Takes shards through tasks on a task runner that has been started.

    Attributes:
        runner: Where tasks are submitted to.
        tasks: One a stage, in order; see :func:`prefect_task`.
        window: How many tasks may be under way at this moment.
        cancel: Ends the drive when it is set.
        landed: Called in this thread with what each task gave of each shard.
        together: Shards in a task.
        under_way: Tasks submitted and not yet done, by their run's id, each with its shards.
    """

    runner: TaskRunner[Any]
    tasks: Sequence[Task[Any, list[Landed]]]
    window: Callable[[], int]
    cancel: threading.Event
    landed: Callable[[Landed], None] = lambda landed: None
    together: int = 1
    under_way: dict[UUID, tuple[PrefectFuture[list[Landed]], Sequence[Shard]]] = field(default_factory=dict)

    def __call__(self, shards: Sequence[Shard]) -> list[Chain]:
        """The fragments of every shard, in the order of ``shards`` and of the tasks.

        Raises:
            Cancelled: ``cancel`` was set.
            Exception: What a task raised.
        """
        chains: dict[str, Chain] = {shard.name: [] for shard in shards}
        waiting = (shards[start : start + self.together] for start in range(0, len(shards), self.together))
        done: queue.SimpleQueue[PrefectFuture[list[Landed]]] = queue.SimpleQueue()

        def submit(some: Sequence[Shard]) -> None:
            chain = chains[some[0].name]
            names = some[0].name if len(some) == 1 else f"{some[0].name} to {some[-1].name}"
            parcel = Parcel([(shard, chains[shard.name][-1] if chain else None) for shard in some])
            future = self.runner.submit(self.tasks[len(chain)], {"shards": names, "parcel": parcel})
            self.under_way[future.task_run_id] = future, some
            future.add_done_callback(done.put)

        def fill() -> None:
            while len(self.under_way) < self.window() and (some := next(waiting, None)):
                submit(some)

        fill()
        while self.under_way:
            future = self._next(done)
            found = future.result()
            _, some = self.under_way.pop(future.task_run_id)
            for shard, landed in zip(some, found, strict=True):
                chains[shard.name].append(landed.fragment)
                self.landed(landed)
            if len(chains[some[0].name]) < len(self.tasks):
                submit(some)
            fill()
        return list(chains.values())

    def _next(self, done: queue.SimpleQueue[PrefectFuture[list[Landed]]]) -> PrefectFuture[list[Landed]]:
        while not self.cancel.is_set():
            with suppress(queue.Empty):
                return done.get(timeout=LOOK_SECONDS)
        raise Cancelled("the build is to stop")
