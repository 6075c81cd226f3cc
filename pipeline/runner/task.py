"""What an engine is handed: a stage, ready to be run on any shard. Data alone, so that it can be sent anywhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from pipeline.records import Row, Source
from pipeline.runner.ledger import Fragment, Ledger, shared_ledger
from pipeline.runner.plan import Shard
from pipeline.runner.run_stage import Report, done_before, run_stage, settings_digest, silent
from pipeline.stages.base import Stage


@dataclass(frozen=True)
class StageTask:
    """One stage of one build; pickles.

    Attributes:
        stage: The stage with its settings.
        reads: The row type of its input.
        root: The ledger's, a folder or URL.
        retry: Status of the rows that are to be done again.
        gpus: What a worker takes of a machine's GPUs while it runs this.
    """

    stage: Stage
    reads: type[Row]
    root: str
    retry: Literal["failed", "rejected"] | None = None
    gpus: float = 0.0

    @property
    def name(self) -> str:
        return self.stage.name

    @property
    def ledger(self) -> Ledger:
        return shared_ledger(self.root)

    def find(self, shard: Shard, before: Fragment | None, there: Mapping[str, Fragment]) -> Fragment | None:
        """The shard's finished fragment, if it is among those of the ledger; None: there is something to do.

        Args:
            shard: See :meth:`run`.
            before: See :meth:`run`.
            there: See :meth:`Ledger.all_of`.
        """
        digest, _ = self._input(shard, before)
        return done_before(self.name, self._settings, digest, shard.name, self.ledger, self.retry, there)

    def run(
        self, shard: Shard, before: Fragment | None, report: Report = silent, into: Ledger | None = None
    ) -> Fragment:
        """Makes sure that the stage is done for the shard. Safe to call from threads.

        Args:
            shard: The shard.
            before: The shard's fragment of the stage before; None at the first one of the engine's tasks.
            report: Told of the progress after each row; what it raises stops the stage.
            into: Another ledger to take the result, and to look for what is done.
        """
        digest, rows = self._input(shard, before)
        ledger = into or self.ledger
        return run_stage(self.stage, rows, digest, shard.name, ledger, retry=self.retry, report=report)

    @cached_property
    def _settings(self) -> str:
        return settings_digest(self.stage)

    def _input(self, shard: Shard, before: Fragment | None) -> tuple[str, Callable[[], Sequence[Row]]]:
        """The input's digest, and how to read it when it is needed."""
        if before:
            return before.digest, lambda: self.ledger.read(before, self.reads)
        if shard.opened is None:
            return shard.digest, lambda: shard.rows
        opened, duplicates = shard.opened, shard.duplicates
        return duplicates.digest(opened), lambda: duplicates.mark(self.ledger.read(opened, Source))
