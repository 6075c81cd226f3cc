"""How a build is handed to whoever runs it: shards, and the tasks that each must go through.

An :class:`Engine` decides where and when. The one here takes the shards in turn; others spread them over threads or
machines. Whatever the engine, the files say what is done.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from pipeline.runner import events
from pipeline.runner.ledger import Fragment
from pipeline.runner.plan import Shard
from pipeline.runner.run_stage import Report
from pipeline.runner.task import StageTask

Chain = list[Fragment]
"""One shard's fragments, in the order of the stages."""


class Engine(Protocol):
    """Takes every shard through the tasks, the tasks of one shard in order, the shards in any."""

    @property
    def elsewhere(self) -> bool:
        """Whether it works on other machines: nothing here tells what those use."""
        ...

    def __call__(self, shards: Sequence[Shard], tasks: Sequence[StageTask]) -> list[Chain]:
        """The fragments of every shard, in the order of ``shards`` and ``tasks``."""
        ...


@dataclass(frozen=True)
class Here:
    """A function as an engine that works on this machine."""

    work: Callable[[Sequence[Shard], Sequence[StageTask]], list[Chain]]
    elsewhere: ClassVar[bool] = False

    def __call__(self, shards: Sequence[Shard], tasks: Sequence[StageTask]) -> list[Chain]:
        return self.work(shards, tasks)


@Here
def in_turn(shards: Sequence[Shard], tasks: Sequence[StageTask]) -> list[Chain]:
    """The simplest engine: one shard after another, in this thread."""
    return [through(shard, tasks) for shard in shards]


def through(shard: Shard, tasks: Sequence[StageTask], report: Report = events.emit) -> Chain:
    """One shard through the tasks."""
    chain: Chain = []
    for task in tasks:
        chain.append(task.run(shard, chain[-1] if chain else None, report))
    return chain
