"""Batches that fit: where a device runs out of memory, its cache is freed and the batch halved, once a process."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable, Sized
from typing import TypeVar

from pipeline.config import UserError

logger = logging.getLogger(__name__)

Rows = TypeVar("Rows", bound=Sized)  # a sequence or an array: can be sliced
R = TypeVar("R")

_lock = threading.Lock()
_fitting: dict[str, int] = {}


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device, or the machine, had no memory left: torch says so in several ways."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and (
        "out of memory" in str(error) or "can't allocate memory" in str(error) or "CUBLAS_STATUS_ALLOC" in str(error)
    )


def in_fitting_batches(name: str, rows: Rows, most: int, work: Callable[[Rows], R]) -> list[tuple[Rows, R]]:
    """Does work on rows in batches that are as large as fits.

    Args:
        name: Of the work; the size that fits is remembered under it, see :func:`fitting`.
        rows: In order.
        most: The largest batch to try.
        work: On a batch.

    Returns:
        Each batch with what the work gave for it.

    Raises:
        UserError: Not even one row fits.
    """
    done: list[tuple[Rows, R]] = []
    at = 0
    while at < len(rows):
        part: Rows = rows[at : at + fitting(name, most)]  # type: ignore[index]
        said = ""
        try:
            done.append((part, work(part)))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            said = " ".join(str(error).split())[:200] or type(error).__name__
        if not said:
            at += len(part)
            continue
        _shrink(name, len(part), said)  # outside of except: the traceback would keep the batch's tensors alive
    return done


def fitting(name: str, most: int) -> int:
    """How large a batch of this work may be, at most ``most``."""
    return min(most, _fitting.get(name, most))


def halved() -> dict[str, int]:
    """The batch sizes that this process had to come down to, by the work's name."""
    with _lock:
        return dict(_fitting)


def _shrink(name: str, size: int, said: str) -> None:
    _free()
    if size == 1:
        raise UserError(
            f'{name}: out of memory with one picture at a time ({said}); set runtime.resident = "one" or a smaller '
            "dtype in the profile, or take a larger device"
        )
    with _lock:
        _fitting[name] = min(_fitting.get(name, size), size // 2)
    logger.warning("%s: out of memory with %d pictures at a time, goes on with %d", name, size, size // 2)


def _free() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
