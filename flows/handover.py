"""A build's work, handed to a flow that Prefect runs: who does it, and whether it is over.

Prefect's server may go away while a flow runs. The tasks then still do their work, but the bookkeeping around them
hangs for minutes. The command that started the flow must know the one from the other.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.runner.build import Build


class Taken(RuntimeError):
    """Somebody else does the work already."""


class Handover:
    """One build's work, done once: by the flow, or without Prefect by the command that started it.

    Attributes:
        report: Whether the report is written, too.
        cancel: Set to stop the work after the rows at hand.
        done: Set when the work is over, well or not; what Prefect does after that is bookkeeping.
        error: What the work raised, if it did.
    """

    def __init__(self, build: Build, report: bool = True) -> None:
        self.build, self.report = build, report
        self.cancel, self.done = threading.Event(), threading.Event()
        self.error: BaseException | None = None
        self._taken = threading.Lock()

    @property
    def under_way(self) -> bool:
        return self._taken.locked() and not self.done.is_set()

    def take(self) -> bool:
        """Takes the work, unless it is taken."""
        return self._taken.acquire(blocking=False)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """The block does the work.

        Raises:
            Taken: It is done elsewhere.
        """
        if not self.take():
            raise Taken(f"{self.build.config.manifest} is built without Prefect")
        try:
            yield
        except BaseException as error:
            self.error = error
            raise
        finally:
            self.done.set()
