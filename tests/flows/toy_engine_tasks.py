"""Stand-ins for stage tasks, in a module that Ray's workers can import."""

from __future__ import annotations

import importlib
import os
import time
from dataclasses import dataclass
from typing import Any

from pipeline.runner.engine import Chain
from pipeline.runner.ledger import DamagedFragment, Fragment
from pipeline.runner.plan import Shard

WARM = "toy_flow"
"""What a process of a build imports; most of the time until it is at work."""
ASKED: list[Any] = []
"""The engine, the shards and the tasks of :func:`asked`: a flow and its parameters must pickle, engines do not."""


def asked() -> list[Chain]:
    """The body of a flow."""
    engine, shards, tasks = ASKED
    return list(engine(shards, tasks))


def warm_up() -> None:
    """Makes the process that runs this one that a build's next task finds ready."""
    importlib.import_module(WARM)


def fragment(stage: str, shard: str, key: str) -> Fragment:
    return Fragment(
        path="", stage=stage, shard=shard, key=key, settings="", digest="", counts={}, reasons={}, sources=()
    )


@dataclass(frozen=True)
class WhereTask:
    """Says in its fragment's key which process ran it."""

    name: str = "where"
    gpus: float = 1.0
    seconds: float = 0.1

    def run(self, shard: Shard, before: Fragment | None, report: Any) -> Fragment:
        time.sleep(self.seconds)
        return fragment(self.name, shard.name, str(os.getpid()))


@dataclass(frozen=True)
class BrokenTask:
    """Finds damage, dies, or has a bug, whichever it is told."""

    how: str
    name: str = "broken"
    gpus: float = 1.0

    def run(self, shard: Shard, before: Fragment | None, report: Any) -> Fragment:
        if self.how == "damage":
            raise DamagedFragment("poses/000000.parquet", "a flipped bit")
        if self.how == "dies":
            os.kill(os.getpid(), 9)
        raise LookupError("no such thing")
