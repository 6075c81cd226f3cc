"""Rounds: every slot settled once, misses tried again together, the second thread never seen in the result."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import UserError
from pipeline.records import Posed, Reason, Status, Subject
from pipeline.stages.rounds import Rounds

Rule = Callable[[Subject], Subject]


@dataclass(frozen=True)
class Paint:
    """Generates bytes that tell source, subject and attempt; remembers its batches."""

    batch_size: int = 3
    breaks: Callable[[Subject], bool] = lambda row: False
    seen: list[list[tuple[str, int]]] = field(default_factory=list)
    when_finished: Callable[[], None] = lambda: None
    before: Callable[[int], None] = lambda number: None

    name: ClassVar[str] = "paint"
    version: ClassVar[int] = 1
    row: ClassVar[type[Subject]] = Subject

    def settings(self) -> dict[str, Any]:
        return {"batch_size": self.batch_size}

    def expand(self, rows: Sequence[Posed]) -> list[Subject]:
        return [row.grow(Subject, subject_id=name) for row in rows for name in row.pose_id.split()]

    def denoise(self, rows: Sequence[Subject]) -> np.ndarray:
        self.before(len(self.seen))
        self.seen.append([(str(row), row.subject_attempt) for row in rows])
        if any(map(self.breaks, rows)):
            raise RuntimeError("out of paint")
        return np.array([row.subject_attempt for row in rows])

    def finish(self, rows: Sequence[Subject], made: np.ndarray) -> list[Subject]:
        self.when_finished()
        return [replace(r, subject_image=f"{r!s} {a}".encode()) for r, a in zip(rows, made, strict=True)]


@dataclass(frozen=True)
class Rule1:
    """A judge that applies a rule to each row."""

    rule: Rule = lambda row: row

    name: ClassVar[str] = "rule"
    version: ClassVar[int] = 1

    def settings(self) -> dict[str, Any]:
        return {}

    def process(self, rows: Sequence[Subject]) -> list[Subject]:
        return [self.rule(row) for row in rows]


def source(name: str, subjects: int) -> Posed:
    return Posed(source_id=name, path=name, pose_id=" ".join(f"s{n}" for n in range(subjects)))


def rounds(paint: Paint | None = None, *rules: Rule, attempts: int = 3, siblings: Any = None) -> Rounds:
    steps = tuple(Rule1(rule) for rule in rules)
    return Rounds("subjects", paint or Paint(), steps, max_attempts=attempts, siblings=siblings)


def run(stage: Rounds, sources: list[Posed]) -> dict[str, Subject]:
    rows = list(stage.process(stage.expand(sources)))
    assert len({str(row) for row in rows}) == len(rows)
    return {str(row): row for row in rows}


def until(attempt: int, *keys: str) -> Rule:
    """Rejects these rows before their attempt of this number."""
    return lambda row: row.reject(Reason.POSE_NOT_KEPT) if str(row) in keys and row.subject_attempt < attempt else row


def test_every_slot_is_settled_once() -> None:
    paint = Paint()
    rows = run(rounds(paint), [source("a", 4), source("b", 2)])
    assert sorted(rows) == ["a/s0", "a/s1", "a/s2", "a/s3", "b/s0", "b/s1"]
    assert all(row.ok and row.subject_image == f"{key} 0".encode() for key, row in rows.items())
    assert paint.seen == [
        [("a/s0", 0), ("a/s1", 0), ("a/s2", 0)], [("a/s3", 0)], [("b/s0", 0), ("b/s1", 0)]
    ]  # fmt: skip


def test_misses_of_a_source_are_tried_again_together() -> None:
    paint = Paint()
    rows = run(rounds(paint, until(1, "a/s0", "a/s4"), until(2, "a/s2")), [source("a", 5)])
    assert {key: row.subject_attempt for key, row in rows.items()} == {
        "a/s0": 1, "a/s1": 0, "a/s2": 2, "a/s3": 0, "a/s4": 1
    }  # fmt: skip
    assert all(row.subject_image == f"{key} {row.subject_attempt}".encode() for key, row in rows.items())
    assert paint.seen[2:] == [[("a/s0", 1), ("a/s2", 1), ("a/s4", 1)], [("a/s2", 2)]]


def test_after_the_last_attempt_the_last_reason_stays() -> None:
    def judge(row: Subject) -> Subject:
        scored = replace(row, pose_score=row.subject_attempt / 10)
        return scored.reject(Reason.POSE_NOT_KEPT if row.subject_attempt < 2 else Reason.MASK_UNSURE)

    paint = Paint()
    (row,) = run(rounds(paint, judge), [source("a", 1)]).values()
    assert (row.status, row.reason, row.subject_attempt) == (Status.REJECTED, Reason.MASK_UNSURE, 2)
    assert row.pose_score == 0.2
    assert row.subject_image == b"a/s0 2"
    assert len(paint.seen) == 3


def test_a_slot_goes_on_from_the_attempt_it_comes_with() -> None:
    paint = Paint()
    stage = rounds(paint, until(99, "a/s0"))
    slots = [replace(slot, subject_attempt=3) for slot in stage.expand([source("a", 2)])]
    rows = {str(row): row for row in stage.process(slots)}
    assert [attempt for batch in paint.seen for key, attempt in batch if key == "a/s0"] == [3, 4, 5]
    assert (rows["a/s0"].subject_attempt, rows["a/s1"].subject_attempt) == (5, 3)


def test_a_retry_starts_from_the_blank_slot() -> None:
    """Nothing of a miss (its mask, its scores, its reason) may show in the next attempt."""
    judged: list[Subject] = []

    def judge(row: Subject) -> Subject:
        judged.append(row)
        return replace(row, mask=b"old", people=3).reject(Reason.MASK_UNSURE, "why") if not row.subject_attempt else row

    (row,) = run(rounds(None, judge), [source("a", 1)]).values()
    assert [(r.mask, r.people, r.reason, r.detail) for r in (judged[1], row)] == [(None, None, None, None)] * 2


def test_later_steps_get_only_what_is_still_ok() -> None:
    seen: list[str] = []

    def note(row: Subject) -> Subject:
        seen.append(str(row))
        return row

    run(rounds(None, until(99, "a/s1"), note, attempts=1), [source("a", 3)])
    assert seen == ["a/s0", "a/s2"]


def test_one_row_that_breaks_fails_alone_and_is_not_tried_again() -> None:
    paint = Paint(breaks=lambda row: str(row) == "a/s1")
    rows = run(rounds(paint), [source("a", 4)])
    assert {key: row.status for key, row in rows.items()} == {
        "a/s0": Status.OK, "a/s1": Status.FAILED, "a/s2": Status.OK, "a/s3": Status.OK
    }  # fmt: skip
    assert rows["a/s1"].error == "RuntimeError: out of paint"
    assert rows["a/s2"].subject_image == b"a/s2 0"
    assert sum(("a/s1", 0) in batch for batch in paint.seen) == 2  # in the batch, then alone


def test_a_step_that_breaks_fails_its_row_only() -> None:
    def judge(row: Subject) -> Subject:
        if str(row) == "a/s2":
            raise ValueError("no keypoints\nat all")
        return row

    rows = run(rounds(None, judge), [source("a", 3)])
    assert [row.status for row in rows.values()] == [Status.OK, Status.OK, Status.FAILED]
    assert rows["a/s2"].error == "ValueError: no keypoints at all"


@pytest.mark.parametrize("place", ["denoise", "step"])
def test_a_user_s_mistake_ends_it(place: str) -> None:
    def mistake(*_: Any) -> Any:
        raise UserError("model somebody/sam: not on this machine")

    stage = rounds(Paint(breaks=mistake)) if place == "denoise" else rounds(None, mistake)
    with pytest.raises(UserError, match="somebody/sam"):
        run(stage, [source("a", 4), source("b", 4)])


@dataclass(frozen=True)
class Distinct:
    """No two accepted rows of a source may have the same last digit of subject and attempt together."""

    name: ClassVar[str] = "distinct"
    version: ClassVar[int] = 1

    def settings(self) -> dict[str, Any]:
        return {}

    def judge(self, row: Subject, accepted: Sequence[Subject]) -> Subject:
        assert all(other.source_id == row.source_id and other.ok for other in accepted)
        taken = {_digit(other) for other in accepted}
        return row.reject(Reason.SUBJECT_NEAR_DUPLICATE) if _digit(row) in taken else row


def _digit(row: Subject) -> int:
    return (int(row.subject_id[1:]) // 2 + row.subject_attempt) % 10


def test_siblings_are_judged_in_order_against_the_accepted() -> None:
    rows = run(rounds(None, until(9, "a/s1"), siblings=Distinct(), attempts=4), [source("a", 6), source("b", 2)])
    # s0 takes 0, s2 1, s4 2; s3 and s5 then want 2 and 3 on their second attempt, s3 is the duplicate of s4
    assert {key: (row.ok, row.subject_attempt) for key, row in rows.items()} == {
        "a/s0": (True, 0), "a/s1": (False, 3), "a/s2": (True, 0), "a/s3": (True, 3), "a/s4": (True, 0),
        "a/s5": (True, 1), "b/s0": (True, 0), "b/s1": (True, 1),
    }  # fmt: skip
    assert rows["a/s1"].reason == Reason.POSE_NOT_KEPT


def test_the_next_batch_denoises_while_the_last_is_judged() -> None:
    finishing, denoising = threading.Event(), threading.Event()
    overlapped: list[bool] = []

    def before(number: int) -> None:
        if number == 1:
            overlapped.append(finishing.wait(5))
            denoising.set()

    def when_finished() -> None:
        finishing.set()
        assert denoising.wait(5)

    run(rounds(Paint(before=before, when_finished=when_finished)), [source("a", 6)])
    assert overlapped == [True]


def test_another_source_denoises_while_one_waits_for_its_verdict() -> None:
    started = threading.Event()

    def judge(row: Subject) -> Subject:
        if str(row) == "a/s0" and not row.subject_attempt:
            assert started.wait(5)
            return row.reject(Reason.POSE_NOT_KEPT)
        return row

    paint = Paint(before=lambda number: started.set() if number == 1 else None)
    rows = run(rounds(paint, judge), [source("a", 1), source("b", 1)])
    assert rows["a/s0"].subject_attempt == 1
    assert paint.seen == [[("a/s0", 0)], [("b/s0", 0)], [("a/s0", 1)]]


def test_rows_come_out_as_they_are_settled() -> None:
    paint = Paint(batch_size=1)
    stage = rounds(paint)
    first = next(stage.process(stage.expand([source("a", 50)])))
    assert str(first) == "a/s0"
    assert len(paint.seen) < 10


def test_stopping_early_leaves_no_thread_behind() -> None:
    stage = rounds(Paint(batch_size=1))
    rows = stage.process(stage.expand([source("a", 50)]))
    next(rows)
    rows.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("subjects-judge")]


@settings(max_examples=25)
@given(
    sizes=st.lists(st.integers(1, 7), min_size=1, max_size=4),
    batch=st.integers(1, 4),
    misses=st.sets(st.tuples(st.integers(0, 3), st.integers(0, 6), st.integers(0, 2))),
    pauses=st.lists(st.sampled_from([0, 0, 0.002]), min_size=1, max_size=8),
)
def test_a_source_comes_out_the_same_alone_and_at_any_pace(
    sizes: list[int], batch: int, misses: set[tuple[int, int, int]], pauses: list[float]
) -> None:
    def judge(row: Subject) -> Subject:
        where = int(row.source_id), int(row.subject_id[1:]), row.subject_attempt
        return row.reject(Reason.MASK_UNSURE) if where in misses else row

    def slow(row: Subject) -> Subject:
        time.sleep(pauses[hash(str(row)) % len(pauses)])
        return judge(row)

    sources = [source(str(number), size) for number, size in enumerate(sizes)]
    paint = Paint(batch_size=batch)
    together = run(rounds(paint, slow, siblings=Distinct()), sources)
    assert all(len({key.split("/")[0] for key, _ in made}) == 1 and len(made) <= batch for made in paint.seen)
    for one in sources:
        alone = Paint(batch_size=batch)
        rows = run(rounds(alone, judge, siblings=Distinct()), [one])
        assert rows == {key: row for key, row in together.items() if row.source_id == one.source_id}
        assert alone.seen == [made for made in paint.seen if made[0][0].startswith(f"{one.source_id}/")]


def test_settings_name_every_step() -> None:
    stage = rounds(None, lambda row: row, siblings=Distinct())
    assert stage.settings() == {
        "steps": [["paint", 1, {"batch_size": 3}], ["rule", 1, {}], ["distinct", 1, {}]], "max_attempts": 3
    }  # fmt: skip
    assert stage.row is Subject
