"""Whose turn it is on the device: one pipeline at a time where memory is for one, or where more would only wait."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipeline.config import Runtime
from pipeline.models.device import device

_lock = threading.RLock()
_there: list[Any] = []
"""The pipeline whose networks are on the device, where they take turns."""


@contextmanager
def turn(networks: Any, runtime: Runtime) -> Iterator[None]:
    """Inside, the networks of a pipeline are on the device.

    Threads work side by side on a CPU; on a GPU they would only share it, each with a batch's worth of memory.

    Args:
        networks: The pipeline that all threads share.
        runtime: Of the profile; with ``resident = "one"`` the networks that were there before make room.
    """
    where = device()
    if runtime.resident == "all" and where.type == "cpu":
        yield
        return
    with _lock:
        if runtime.resident == "one" and not any(one is networks for one in _there):
            while _there:
                _there.pop().to("cpu")
            _empty_cache()
            networks.to(where)
            _there.append(networks)
        yield


def _empty_cache() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
