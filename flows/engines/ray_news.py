"""Progress from Ray's workers to the process that shows it: small events, by way of a board that all can reach."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline.runner import events

if TYPE_CHECKING:  # the board needs no Prefect
    from flows.engines.scheduled import Landed

logger = logging.getLogger(__name__)
NEWS_SECONDS = 1.0
"""Between two news of one task, and between two looks at the board."""
_ANSWER_SECONDS = 10.0


class Board:
    """The latest news of each shard and stage, as long as nobody took it. A Ray actor."""

    def __init__(self) -> None:
        self._latest: dict[tuple[str, str], events.Progress] = {}

    def tell(self, news: events.Progress) -> None:
        self._latest[news.stage, news.shard] = news

    def take(self) -> list[events.Progress]:
        taken, self._latest = list(self._latest.values()), {}
        return taken


class ToBoard:
    """A report for stages: passes on a line now and then, never waits, never fails. Pickles."""

    def __init__(self, board: Any) -> None:
        self._board = board
        self._told: float | None = None

    def __call__(self, news: events.Progress) -> None:
        """The last one of a stage comes back with its result, and is not told here."""
        now = time.monotonic()
        if news.finished or (self._told is not None and now - self._told < NEWS_SECONDS):
            return
        self._told = now
        with suppress(Exception):
            self._board.tell.remote(news)


class NewsDesk:
    """Where all news of an engine's tasks come together; what is emitted here reaches display and artifact.

    Attributes:
        report: For the tasks.
    """

    def __init__(self, board: Any) -> None:
        self.report = ToBoard(board)
        self._over: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def landed(self, landed: Landed) -> None:
        """A task is done; whatever the board still says of it is old."""
        fragment = landed.fragment
        with self._lock:
            self._over.add((fragment.stage, fragment.shard))
            if landed.news:
                events.emit(landed.news)

    def heard(self, news: list[events.Progress]) -> None:
        with self._lock:
            for progress in news:
                if (progress.stage, progress.shard) not in self._over:
                    events.emit(progress)


@contextmanager
def news_desk() -> Iterator[NewsDesk]:
    """Sets up a board and listens to it while the block runs; a board that is lost costs the display, not the build."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)  # not with the workers
    board: Any = ray.remote(num_cpus=0, max_restarts=-1, scheduling_strategy=here)(Board).remote()
    desk, stop = NewsDesk(board), threading.Event()

    def listen() -> None:
        silent = False
        while not stop.wait(NEWS_SECONDS):
            try:
                desk.heard(ray.get(board.take.remote(), timeout=_ANSWER_SECONDS))
                silent = False
            except Exception as error:
                if not silent and not stop.is_set():
                    logger.warning("no news from Ray's workers for now; they go on: %s", type(error).__name__)
                silent = True

    thread = threading.Thread(target=listen, name="ray-news", daemon=True)
    thread.start()
    try:
        yield desk
    finally:
        stop.set()
        thread.join(_ANSWER_SECONDS)
        with suppress(Exception):
            ray.kill(board)
