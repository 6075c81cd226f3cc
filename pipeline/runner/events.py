"""News of a build's progress, inside one process: stages say how far they are, displays listen.

A tiny publish/subscribe instead of callbacks handed through every call, because the one who shows progress (the
command line, a flow's artifact) sits far from the one who makes it (a worker thread inside a stage).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far one stage is with one shard; numbers of rows.

    Attributes:
        done: Rows with an outcome, the reused ones included; equals ``total`` at the end.
        ok, rejected, failed: The outcomes so far.
        reused: How many of ``done`` were taken over from an earlier run.
        finished: The fragment stands on disk.
    """

    stage: str
    shard: str
    done: int
    total: int
    ok: int = 0
    rejected: int = 0
    failed: int = 0
    reused: int = 0
    finished: bool = False


Listener = Callable[[Progress], None]
_listeners: list[Listener] = []
_lock = threading.Lock()


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Calls ``listener`` with all progress of this process, from whichever thread it comes."""
    with _lock:
        _listeners.append(listener)
    try:
        yield
    finally:
        with _lock:
            _listeners.remove(listener)


def emit(progress: Progress) -> None:
    """Tells all listeners. A listener that raises is logged: a broken display must not stop a build."""
    with _lock:
        listeners = list(_listeners)
    for listener in listeners:
        try:
            listener(progress)
        except Exception:
            logger.exception("a progress listener failed")
