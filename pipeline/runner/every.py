"""Something that is done now and then beside the work of a block."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def every(seconds: float, do: Callable[[], None], name: str) -> Iterator[None]:
    """Does something every few seconds, in a thread, as long as the block runs.

    Args:
        seconds: Before the first time, and between two times.
        do: What; it is not cut short at the end of the block, and not done once more.
        name: The thread's.
    """
    over = threading.Event()

    def repeat() -> None:
        while not over.wait(seconds):
            do()

    thread = threading.Thread(target=repeat, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
