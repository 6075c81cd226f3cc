"""Adds up the progress of all shards, for whoever shows it: Prefect's dashboard here, the terminal in ``flows.cli``."""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast
from uuid import UUID

from pipeline.config import BuildConfig
from pipeline.runner import events
from pipeline.runner.build import Build
from pipeline.runner.plan import Shard

logger = logging.getLogger(__name__)

ARTIFACT_SECONDS = 5.0
ENOUGH = 0.02
"""Share of the last stage's rows that must be made before the time left is guessed."""


def fan_out(config: BuildConfig) -> dict[str, int]:
    """How many rows a stage makes of each row that it is given, where that is not one."""
    return {"subjects": config.subjects, "variations": config.backgrounds}


@dataclass(frozen=True)
class StageTally:
    """One line of a progress display; numbers of rows.

    Attributes:
        expected: Rows at the end, estimated from the fan-out where a shard has not got that far.
    """

    stage: str
    done: int
    expected: int
    ok: int
    rejected: int
    failed: int


_Numbers = tuple[int, int, int, int, int]
"""The numbers of a :class:`StageTally`, in its order: done, expected, ok, rejected, failed."""


class Tally:
    """Takes a build's progress events from any thread and says how far the whole is.

    It adds up as the news come, so that asking costs the same whether a build has ten shards or a million.

    Args:
        stages: Names of the stages in order.
        shards: Sources in each shard, by name.
        fan_out: See :func:`fan_out`.
    """

    def __init__(self, stages: Sequence[str], shards: Mapping[str, int], fan_out: Mapping[str, int]) -> None:
        self._stages, self._shards, self._fan_out = tuple(stages), dict(shards), dict(fan_out)
        self._news: dict[tuple[str, str], events.Progress] = {}
        self._sums: list[_Numbers] = [(0, 0, 0, 0, 0)] * len(self._stages)
        self._made = Counter[str]()
        for shard in self._shards:
            self._add(self._of(shard), 1)
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._first_image: float | None = None

    def __call__(self, news: events.Progress) -> None:
        """An :mod:`pipeline.runner.events` listener; news of another build's shards are none of its business."""
        if news.shard not in self._shards:
            return
        with self._lock:
            self._add(self._of(news.shard), -1)
            before = self._news.get((news.stage, news.shard))
            self._news[news.stage, news.shard] = news
            self._add(self._of(news.shard), 1)
            if news.stage in self._fan_out:
                made = max(_made(news) - (_made(before) if before else 0), 0)  # less where a fragment is mended
                if self._first_image is not None:
                    self._made[news.stage] += made
                elif made:  # where the clock starts: models were loaded before it
                    self._first_image = time.monotonic()

    def stages(self) -> list[StageTally]:
        with self._lock:
            return [StageTally(stage, *sums) for stage, sums in zip(self._stages, self._sums, strict=True)]

    def share(self) -> float:
        """How much of all rows is done, 0..1."""
        tallies = self.stages()
        expected = sum(tally.expected for tally in tallies)
        return sum(tally.done for tally in tallies) / expected if expected else 1.0

    def images_per_second(self) -> float | None:
        """Images that this run made after its first, by the time since then; None before that."""
        with self._lock:
            made = self._made.total()
            return made / self._seconds_of_images() if made else None

    def seconds_left(self) -> float | None:
        """By the rows of the last stage, as each stands for all that was done for it; None before there are enough.

        The speed of all images would jump with the stage that most shards happen to be at, and so would a recent speed.
        """
        last = self.stages()[-1]
        left = last.expected - last.done
        with self._lock:
            made = self._made[last.stage]
            if not left or not made or made < ENOUGH * (made + left):
                return None
            return left * self._seconds_of_images() / made

    def _seconds_of_images(self) -> float:
        return max(time.monotonic() - (self._first_image or 0), 1e-3)

    def seconds(self) -> float:
        """Since the tally began."""
        return time.monotonic() - self._started

    def _add(self, numbers: list[_Numbers], sign: int) -> None:
        for number, (done, expected, ok, rejected, failed) in enumerate(numbers):
            old = self._sums[number]
            self._sums[number] = (
                old[0] + sign * done,
                old[1] + sign * expected,
                old[2] + sign * ok,
                old[3] + sign * rejected,
                old[4] + sign * failed,
            )

    def _of(self, shard: str) -> list[_Numbers]:
        """One shard's numbers, by stage. Rows of a stage are known once it runs, else what its input will come to."""
        numbers: list[_Numbers] = []
        given = self._shards[shard]
        for stage in self._stages:
            news = self._news.get((stage, shard))
            if news is None:
                given *= self._fan_out.get(stage, 1)
                numbers.append((0, given, 0, 0, 0))
            else:
                numbers.append((news.done, news.total, news.ok, news.rejected, news.failed))
                given = news.ok if news.finished else news.total
        return numbers


def _made(news: events.Progress) -> int:
    return news.done - news.reused


def tally_of(build: Build, shards: Sequence[Shard] | None = None) -> Tally:
    """A tally that expects what a build asks for, of some shards or of all."""
    sizes = {shard.name: len(shard.rows) for shard in (build.shards if shards is None else shards)}
    return Tally([stage.name for stage in build.stages], sizes, fan_out(build.config))


def as_markdown(tally: Tally) -> str:
    """The table under the progress bar in Prefect's dashboard."""
    lines = ["| stage | done | of about | ok | rejected | failed |", "|---|---|---|---|---|---|"]
    lines += [f"| {t.stage} | {t.done} | {t.expected} | {t.ok} | {t.rejected} | {t.failed} |" for t in tally.stages()]
    speed = tally.images_per_second()
    return "\n".join(lines) + (f"\n\n{speed:.1f} images/s" if speed else "")


@contextmanager
def progress_artifact(tally: Tally, run: str) -> Iterator[None]:
    """Keeps a progress artifact of the flow run up to date while the block runs.

    A thread of its own does the talking, so that no stage ever waits for the server; a server that does not take the
    artifact costs the display, not the build.
    """
    from prefect.artifacts import create_progress_artifact, update_progress_artifact

    key = "build-" + "".join(c if c.isalnum() and c.isascii() else "-" for c in run.lower())
    stop = threading.Event()

    def keep_up_to_date() -> None:
        try:
            artifact = cast(UUID, create_progress_artifact(progress=0.0, key=key, description=as_markdown(tally)))
        except Exception as error:
            logger.warning("this run shows no progress in Prefect: %s", error)
            return
        over = False
        while not over:
            over = stop.wait(ARTIFACT_SECONDS)
            try:
                update_progress_artifact(artifact, progress=100 * tally.share(), description=as_markdown(tally))
            except Exception as error:
                logger.warning("the progress artifact was not updated: %s", error)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(keep_up_to_date,), name="progress")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
