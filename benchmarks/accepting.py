"""A build's steps, timed one by one, every verdict turned into "accepted": for models that have learned nothing."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import psutil

from pipeline.records import Status
from pipeline.runner.bench import with_ellipse
from pipeline.runner.every import every
from pipeline.stages.rounds import Rounds


@dataclass
class Clock:
    """Seconds and peak resident memory by the name of what ran; sampled ten times a second.

    Attributes:
        seconds, peaks: By name; bytes.
        steps: Denoised image-steps by stage.
    """

    seconds: Counter[str] = field(default_factory=Counter)
    peaks: dict[str, int] = field(default_factory=dict)
    steps: Counter[str] = field(default_factory=Counter)
    running: list[str] = field(default_factory=list)

    @contextmanager
    def timing(self, name: str) -> Iterator[None]:
        begun = time.perf_counter()
        self.running.append(name)
        try:
            yield
        finally:
            self._sample()
            self.running.remove(name)
            self.seconds[name] += time.perf_counter() - begun

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Samples memory as long as it lasts."""
        with every(0.1, self._sample, "memory"):
            yield

    def _sample(self) -> None:
        now = psutil.Process().memory_info().rss
        for name in list(self.running):
            self.peaks[name] = max(self.peaks.get(name, 0), now)


@dataclass(frozen=True)
class Timed:
    """A generator under the clock; also notes its batches."""

    inner: Any
    clock: Clock
    name: str
    steps: int
    batches: list[Sequence[Any]] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def denoise(self, rows: Sequence[Any]) -> Any:
        self.batches.append(rows)
        self.clock.steps[self.name] += len(rows) * self.steps
        with self.clock.timing(f"{self.name}: denoise"):
            return self.inner.denoise(rows)

    def finish(self, rows: Sequence[Any], made: Any) -> list[Any]:
        with self.clock.timing(f"{self.name}: paste, PNG"):
            finished: list[Any] = self.inner.finish(rows, made)
        return [_accepted(row) for row in finished]


@dataclass(frozen=True)
class Accepting:
    """A step under the clock whose verdicts do not count; what it measured stays in the rows."""

    inner: Any
    clock: Clock
    stage: str
    size: int

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def process(self, rows: Sequence[Any]) -> list[Any]:
        with self.clock.timing(f"{self.stage}: {self.inner.name}"):
            done = [_accepted(row) for row in self.inner.process(rows)]
        return [with_ellipse(row, self.size) for row in done] if self.inner.name == "segment_subjects" else done


@dataclass(frozen=True)
class Plain:
    """A stage without rounds under the clock."""

    inner: Any
    clock: Clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def process(self, rows: Sequence[Any]) -> Iterator[Any]:
        with self.clock.timing(self.inner.name):
            yield from self.inner.process(rows)


def accepting(stages: Sequence[Any], profile: Any, clock: Clock) -> list[Any]:
    """A build's stages under the clock, with all gates open."""
    steps = {"subjects": profile.subjects.num_inference_steps, "variations": profile.backgrounds.num_inference_steps}
    made = []
    for stage in stages:
        if not isinstance(stage, Rounds):
            made.append(Plain(stage, clock))
            continue
        timed = Timed(stage.generate, clock, stage.name, steps[stage.name])
        judges = tuple(Accepting(step, clock, stage.name, profile.sources.size) for step in stage.steps)
        made.append(replace(stage, generate=timed, steps=judges, siblings=None))
    return made


def _accepted(row: Any) -> Any:
    if row.status == Status.FAILED:
        raise SystemExit(f"{row}: {row.error}")
    return replace(row, status=Status.OK, reason=None, detail=None)
