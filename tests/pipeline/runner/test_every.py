"""What is done now and then, is done while its block runs, and not after."""

from __future__ import annotations

import threading

import pytest

from pipeline.runner.every import every


@pytest.mark.parametrize("error", [None, RuntimeError])
def test_it_is_done_until_the_block_ends(error: type[Exception] | None) -> None:
    done, twice = [], threading.Event()

    def note() -> None:
        done.append(threading.current_thread().name)
        if len(done) == 2:
            twice.set()

    def work() -> None:
        with every(0.001, note, "notes"):
            assert twice.wait(60)
            if error:
                raise error

    if error:
        with pytest.raises(error):
            work()
    else:
        work()
    assert set(done) == {"notes"}
    assert "notes" not in {thread.name for thread in threading.enumerate()}


def test_a_short_block_sees_nothing_of_it() -> None:
    done: list[int] = []
    with every(60, lambda: done.append(1), "notes"):
        pass
    assert not done
