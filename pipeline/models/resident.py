"""What stays in memory: models per process, stateful wrappers per thread, recent results in a bounded cache."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_lock = threading.RLock()
_objects: dict[Hashable, Any] = {}
_local = threading.local()


def shared_instance(key: Hashable, build: Callable[[], T]) -> T:
    """The process's object of this key; built at the first call, while other threads wait.

    One lock for all keys: importing torch and friends from several threads at once is slow and not always safe.
    """
    if key not in _objects:
        with _lock:
            if key not in _objects:
                _objects[key] = build()
    return _objects[key]


def per_thread(key: Hashable, build: Callable[[], T]) -> T:
    """The thread's own object of this key, for what keeps state between calls."""
    objects = _local.__dict__.setdefault("objects", {})
    if key not in objects:
        objects[key] = build()
    return objects[key]


class LRUCache(Generic[T]):
    """The last ``size`` results of a computation, shared by threads."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, T] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The kept result, or ``make()``. Two threads may compute the same one; both get an equal result."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = make()
        with self._lock:
            self._kept[key] = made
            while len(self._kept) > self._size:
                self._kept.popitem(last=False)
        return made
