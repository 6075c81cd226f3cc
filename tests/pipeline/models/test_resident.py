"""Models are built once per process, wrappers once per thread, and caches forget the oldest."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from pipeline.models.resident import LRUCache, per_thread, shared_instance


def test_once_builds_once_though_many_threads_ask() -> None:
    built = []

    def build() -> object:
        time.sleep(0.05)
        built.append(1)
        return object()

    with ThreadPoolExecutor(8) as pool:
        objects = list(pool.map(lambda _: shared_instance("test_once", build), range(8)))
    assert len(built) == 1
    assert len(set(map(id, objects))) == 1
    assert shared_instance("test_once/other", object) is not objects[0]


def test_a_build_that_fails_is_tried_again() -> None:
    def fail() -> object:
        raise OSError("no such file")

    for _ in range(2):
        try:
            shared_instance("test_fail", fail)
        except OSError:
            continue
        raise AssertionError
    assert shared_instance("test_fail", lambda: 7) == 7


def test_per_thread_gives_each_thread_its_own() -> None:
    gate = threading.Barrier(3)

    def ask(_: int) -> tuple[object, object]:
        gate.wait()
        return per_thread("test_own", object), per_thread("test_own", object)

    with ThreadPoolExecutor(3) as pool:
        pairs = list(pool.map(ask, range(3)))
    assert all(first is again for first, again in pairs)
    assert len({id(first) for first, _ in pairs}) == 3


def test_recent_keeps_the_last_used() -> None:
    recent: LRUCache[str] = LRUCache(2)
    made: list[str] = []

    def get(key: str) -> str:
        return recent.get(key, lambda: (made.append(key), key.upper())[1])

    assert [get(key) for key in "abab"] == ["A", "B", "A", "B"]
    assert made == ["a", "b"]
    get("a")
    get("c")  # b was used longest ago
    get("a")
    assert made == ["a", "b", "c"]
    get("b")
    assert made == ["a", "b", "c", "b"]
