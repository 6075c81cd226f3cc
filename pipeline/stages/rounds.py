"""Stages ``subjects`` and ``variations``: generate, measure, judge, and try again with the next seed.

Round 0 fills all slots, batch by batch inside one source. What a judge rejects gets the next attempt in the source's
next round, all misses of the source together, until ``max_attempts``; then the slot stays rejected with its last
reason.

The denoiser is the cost, so it must never wait: a batch is turned into PNGs, segmented and judged in a second thread
while the next batch denoises, and while one source waits for its verdicts another one's batch denoises. What comes out
does not depend on that timing: batches hold rows of one source only, in slot order, and the second thread takes them in
the order in which they were generated.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, Protocol

from pipeline.config import UserError
from pipeline.models.device import beside, mark
from pipeline.models.memory import fitting, in_fitting_batches
from pipeline.records import Row, Status
from pipeline.stages.base import batches, guarded, padded

logger = logging.getLogger(__name__)
_WAITING = 2  # batches that may wait for the second thread; bounds memory where it is the slower one


class Generator(Protocol):
    """The step that denoises."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def row(self) -> type[Row]: ...
    @property
    def batch_size(self) -> int: ...
    def expand(self, rows: Sequence[Any]) -> list[Any]: ...
    def settings(self) -> dict[str, Any]: ...

    def denoise(self, rows: Sequence[Any]) -> Any:
        """The device's part of the work on a batch of one source: ``[B, ...]``, still on the device."""
        ...

    def finish(self, rows: Sequence[Any], made: Any) -> list[Any]:
        """The rest: rows with the pictures in them, in order. Runs in the second thread."""
        ...


class Step(Protocol):
    """What is done to a generated batch; a judge is a step that rejects."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> int: ...
    def settings(self) -> dict[str, Any]: ...

    def process(self, rows: Sequence[Any]) -> Sequence[Any]:
        """One row out for each row in, in order."""
        ...


class Siblings(Protocol):
    """Judges a row against the accepted rows of the same source."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> int: ...
    def settings(self) -> dict[str, Any]: ...
    def judge(self, row: Any, accepted: Sequence[Any]) -> Any: ...


@dataclass(frozen=True)
class Rounds:
    """A stage made of steps.

    Attributes:
        name: The stage's.
        generate: The first step.
        steps: The others, in order; each gets the rows that are still ``ok``.
        max_attempts: Rounds per slot, counted from the attempt that the slot comes with.
        siblings: The last judge, or None.
        pad_batches: Whether the last batch of a source is brought to the size of the others.
    """

    name: str
    generate: Generator
    steps: tuple[Step, ...]
    max_attempts: int
    siblings: Siblings | None = None
    version: int = 1
    pad_batches: bool = False

    @property
    def row(self) -> type[Row]:
        return self.generate.row

    def expand(self, rows: Sequence[Any]) -> list[Any]:
        return self.generate.expand(rows)

    def settings(self) -> dict[str, Any]:
        parts: list[Any] = [self.generate, *self.steps, *([self.siblings] if self.siblings else [])]
        steps = [[part.name, part.version, part.settings()] for part in parts]
        return {"steps": steps, "max_attempts": self.max_attempts}

    def process(self, rows: Sequence[Any]) -> Iterator[Any]:
        """One row for each slot, as soon as its outcome is settled."""
        ready: deque[_Batch] = deque()
        for _, slots in groupby(rows, key=lambda row: row.slot[0]):
            ready.extend(_Source(self).round(list(slots)))
        judged: deque[tuple[_Batch, Future[list[Any]]]] = deque()
        second = ThreadPoolExecutor(1, thread_name_prefix=f"{self.name}-judge")
        try:
            while ready or judged:
                if ready and len(judged) <= _WAITING:
                    batch = ready.popleft()
                    made = self._generated(batch.rows)
                    judged.append((batch, second.submit(self._beside, mark(), batch, made)))
                while judged and (judged[0][1].done() or not ready or len(judged) > _WAITING):
                    batch, future = judged.popleft()
                    yield from batch.source.settle(batch, future.result(), ready)
        finally:
            second.shutdown(cancel_futures=True)

    def _generated(self, rows: list[Any]) -> list[tuple[list[Any], Any]]:
        """Rows with what was denoised for them; row by row where the batch raises, so that one cannot fail all."""
        try:
            made = in_fitting_batches(self.name, rows, self.generate.batch_size, self._denoised)
            return [(list(part), pictures) for part, pictures in made]
        except UserError:
            raise
        except Exception as error:  # any library error becomes data, see guarded()
            if len(rows) > 1:
                return [part for row in rows for part in self._generated([row])]
            logger.warning("%s failed: %s", rows[0], error)
            return [([rows[0].fail(error)], None)]

    def _denoised(self, rows: Sequence[Any]) -> Any:
        """A compiled network wants batches of one shape."""
        if not self.pad_batches:
            return self.generate.denoise(rows)
        size = fitting(self.name, self.generate.batch_size)
        return self.generate.denoise(padded(rows, size))[: len(rows)]

    def _beside(self, made_by: Any, batch: _Batch, made: list[tuple[list[Any], Any]]) -> list[Any]:
        with beside(made_by):
            return self._judged(batch, made)

    def _judged(self, batch: _Batch, made: list[tuple[list[Any], Any]]) -> list[Any]:
        """The batch's rows after all steps, in order. Runs in the second thread."""
        rows: list[Any] = []
        for part, pictures in made:
            rows += part if pictures is None else self._finished(part, pictures)
        for step in self.steps:
            done = {row.slot: row for row in guarded([row for row in rows if row.ok], step.process)}
            rows = [done.get(row.slot, row) for row in rows]
        if self.siblings:
            for place, row in enumerate(rows):
                if row.ok:
                    rows[place] = self.siblings.judge(row, batch.source.accepted)
                    batch.source.accepted.extend(row for row in rows[place : place + 1] if row.ok)
        return rows

    def _finished(self, rows: list[Any], pictures: Any) -> list[Any]:
        try:
            return self.generate.finish(rows, pictures)
        except Exception as error:  # as above
            if len(rows) > 1:
                return [r for i, row in enumerate(rows) for r in self._finished([row], pictures[i : i + 1])]
            logger.warning("%s failed: %s", rows[0], error)
            return [rows[0].fail(error)]


@dataclass
class _Batch:
    source: _Source
    rows: list[Any]


@dataclass
class _Source:
    """Where one source stands.

    Attributes:
        slots: The blank rows, by slot, as they came.
        attempt: Rounds done.
        open: Batches of this round without a verdict.
        missed: Rows rejected in this round.
        accepted: Rows accepted so far; the second thread's.
    """

    stage: Rounds
    slots: dict[tuple[str, ...], Any] = field(default_factory=dict)
    attempt: int = 0
    open: int = 0
    missed: list[Any] = field(default_factory=list)
    accepted: list[Any] = field(default_factory=list)

    def round(self, slots: list[Any]) -> list[_Batch]:
        """The batches of a round over these slots."""
        self.slots = {slot.slot: slot for slot in slots}
        made = [_Batch(self, rows) for rows in batches(slots, self.stage.generate.batch_size)]
        self.open = len(made)
        return made

    def settle(self, batch: _Batch, rows: list[Any], ready: deque[_Batch]) -> Iterator[Any]:
        """Takes a batch's verdicts: gives out what is final; the round's last batch starts the next round."""
        last = self.attempt + 1 == self.stage.max_attempts
        for row in rows:
            if row.status == Status.REJECTED and not last:
                self.missed.append(row)
            else:
                yield row
        self.open -= 1
        if self.open == 0 and self.missed:
            again = [self._next(row) for row in self.missed]
            self.attempt, self.missed = self.attempt + 1, []
            ready.extendleft(reversed(self.round(again)))

    def _next(self, row: Any) -> Any:
        """The row's slot with the attempt after the row's."""
        name = row.ATTEMPT
        return replace(self.slots[row.slot], **{name: getattr(row, name) + 1})
