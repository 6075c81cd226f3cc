"""What a tally says of a build that is under way."""

from __future__ import annotations

import sys
import time
from typing import Any

import pytest
from rich.console import Console

from flows.cli.display import clock, display, line, table
from flows.progress import Tally, as_markdown
from pipeline.runner.events import Progress

STAGES = ["sources", "poses", "subjects", "variations"]


@pytest.fixture
def tally() -> Tally:
    """Two shards, of two sources and of one, 3 x 4 variations each."""
    return Tally(STAGES, {"a": 2, "b": 1}, {"subjects": 3, "variations": 4})


def news(stage: str, shard: str, done: int, total: int, **more: Any) -> Progress:
    return Progress(stage=stage, shard=shard, done=done, total=total, **{"ok": done, **more})


def expected(tally: Tally) -> list[int]:
    return [stage.expected for stage in tally.stages()]


def test_before_the_first_news_everything_is_expected(tally: Tally) -> None:
    assert expected(tally) == [3, 3, 9, 36]
    assert tally.share() == 0
    assert tally.images_per_second() is tally.seconds_left() is None


def test_what_is_rejected_is_not_expected_further_on(tally: Tally) -> None:
    tally(news("sources", "a", 2, 2, ok=1, rejected=1, finished=True))
    assert expected(tally) == [3, 2, 6, 24]
    tally(news("subjects", "a", 3, 3, ok=2, rejected=1, finished=True))
    assert expected(tally)[-1] == 2 * 4 + 1 * 3 * 4


def test_a_stage_under_way_counts_by_what_it_was_given(tally: Tally) -> None:
    tally(news("subjects", "b", 1, 3, ok=0, rejected=1))
    assert expected(tally)[-1] == 36
    stage = tally.stages()[2]
    assert (stage.done, stage.ok, stage.rejected, stage.failed) == (1, 0, 1, 0)


def test_news_of_a_shard_replace_the_older_ones(tally: Tally) -> None:
    tally(news("variations", "a", 1, 24))
    tally(news("variations", "a", 5, 24, ok=4, failed=1))
    assert (tally.stages()[3].done, tally.stages()[3].failed) == (5, 1)


def test_speed_counts_only_images_made_now(tally: Tally) -> None:
    tally(news("sources", "a", 2, 2))
    assert tally.images_per_second() is None
    tally(news("subjects", "a", 6, 6, reused=6))
    assert tally.images_per_second() is None
    tally(news("variations", "a", 7, 24, reused=6))
    assert tally.images_per_second() is None
    time.sleep(0.2)
    tally(news("variations", "a", 11, 24, reused=6))
    speed = tally.images_per_second()
    assert speed is not None
    assert 4 / 2 < speed < 4 / 0.2
    left = tally.seconds_left()
    assert left is not None
    assert left * tally.images_per_second() == pytest.approx(36 - 11, rel=0.2)


def test_the_time_left_is_sane_from_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty shards in turn, of slow subjects and quick variations, with models that take long to load."""
    now, load, took = 0.0, {"subjects": 30, "variations": 10}, {"subjects": 2.0, "variations": 0.2}
    monkeypatch.setattr(time, "monotonic", lambda: now)
    tally = Tally(STAGES, {str(shard): 2 for shard in range(40)}, {"subjects": 5, "variations": 10})
    end = sum(load.values()) + 40 * (10 * took["subjects"] + 100 * took["variations"])
    told: list[tuple[float, float]] = []
    for shard in range(40):
        for stage, total in (("subjects", 10), ("variations", 100)):
            for done in range(total + 1):
                now += took[stage] if done else 0 if shard else load[stage]
                tally(news(stage, str(shard), done, total, finished=done == total))
                if left := tally.seconds_left():
                    told.append((now, left))
    assert told[0][0] < 0.1 * end, "not silent for long"
    assert all(0.5 < left / (end - at) < 2 for at, left in told if end - at > 60)


def test_a_finished_build_is_all_done(tally: Tally) -> None:
    for number, stage in enumerate(STAGES):
        for shard, sources in (("a", 2), ("b", 1)):
            total = sources * (1, 1, 3, 12)[number]
            tally(news(stage, shard, total, total, finished=True))
    assert tally.share() == 1
    assert tally.seconds_left() is None


def test_a_look_costs_the_same_however_many_shards_there_are() -> None:
    def calls(shards: int) -> int:
        tally = Tally(STAGES, {str(number): 2 for number in range(shards)}, {"subjects": 3, "variations": 4})
        for number in range(shards):
            tally(news("sources", str(number), 2, 2, finished=True))
            tally(news("subjects", str(number), 3, 6))
        counted = 0

        def count(*_: Any) -> None:
            nonlocal counted
            counted += 1

        sys.setprofile(count)
        try:
            tally.stages(), tally.share(), tally.images_per_second(), tally.seconds_left()
        finally:
            sys.setprofile(None)
        return counted

    assert calls(1000) == calls(10)


def test_the_dashboard_s_table_has_a_row_per_stage(tally: Tally) -> None:
    tally(news("variations", "a", 5, 24, ok=4, failed=1))
    lines = as_markdown(tally).splitlines()
    assert "| variations | 5 | 36 | 4 | 0 | 1 |" in lines
    assert len([line for line in lines if line.startswith("|")]) == 2 + len(STAGES)


def test_the_terminal_s_table_and_line_say_the_same(tally: Tally) -> None:
    tally(news("sources", "a", 2, 2, finished=True))
    tally(news("sources", "b", 1, 1, finished=True))
    tally(news("poses", "a", 2, 2, finished=True))
    tally(news("subjects", "a", 4, 6, ok=3, rejected=1))
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(table(tally, "m.parquet"))
    shown = console.export_text()
    assert "Building m.parquet" in shown
    assert "4/9" in shown
    assert line(tally).startswith("poses 2/3, 0 accepted, 1 rejected, 0 failed, ")


def test_without_a_terminal_the_end_is_told_in_a_line(tally: Tally, capsys: pytest.CaptureFixture[str]) -> None:
    with display(tally, "m.parquet", Console(force_terminal=False)):
        tally(news("variations", "a", 24, 24))
    assert "24 accepted" in capsys.readouterr().out


@pytest.mark.parametrize(("seconds", "said"), [(0, "0:00"), (61.4, "1:01"), (3599.7, "1:00:00"), (7322, "2:02:02")])
def test_times_read_like_a_clock(seconds: float, said: str) -> None:
    assert clock(seconds) == said
