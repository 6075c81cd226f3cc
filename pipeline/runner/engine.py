"""How a build is handed to whoever runs it: shards, and the steps that each must go through.

An :class:`Engine` decides where and when. The one here takes the shards in turn; others spread them over threads or
machines. Whatever the engine, the files say what is done.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.runner.ledger import Fragment
from pipeline.runner.plan import Shard

Chain = list[Fragment]
"""One shard's fragments, in the order of the stages."""


@dataclass(frozen=True)
class Step:
    """One stage, ready to be run on any shard.

    Attributes:
        name: The stage's.
        run: Takes the shard and its fragment of the step before (None at the first); safe to call from threads.
    """

    name: str
    run: Callable[[Shard, Fragment | None], Fragment]


class Engine(Protocol):
    """Takes every shard through the steps, the steps of one shard in order, the shards in any."""

    def __call__(self, shards: Sequence[Shard], steps: Sequence[Step]) -> list[Chain]:
        """The fragments of every shard, in the order of ``shards`` and ``steps``."""
        ...


def in_turn(shards: Sequence[Shard], steps: Sequence[Step]) -> list[Chain]:
    """The simplest engine: one shard after another, in this thread."""
    return [through(shard, steps) for shard in shards]


def through(shard: Shard, steps: Sequence[Step]) -> Chain:
    """One shard through the steps, as far as they go."""
    chain: Chain = []
    try:
        for step in steps:
            chain.append(step.run(shard, chain[-1] if chain else None))
    except NotDone:
        pass
    return chain


class NotDone(Exception):
    """Instead of computing, when a build is only looked at."""
