"""Progress goes to whoever listens, and a broken listener stops nothing."""

from __future__ import annotations

import logging

import pytest

from pipeline.runner import events


def test_listeners_hear_while_they_listen(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[events.Progress] = []

    def broken(progress: events.Progress) -> None:
        raise RuntimeError("display gone")

    one, two = (events.Progress(stage="poses", shard="0", done=n, total=2) for n in (1, 2))
    with caplog.at_level(logging.ERROR), events.listening(broken), events.listening(heard.append):
        events.emit(one)
    events.emit(two)
    assert heard == [one]
    assert "listener failed" in caplog.text
