"""The runner: done is done, rows are reused, retries do only what they should."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from toy_stages import ToySubjects, ToyVariations, build, recipe, write_pictures

from pipeline import ids, store
from pipeline.records import Posed, Reason, Row, Status, Subject
from pipeline.runner import events
from pipeline.runner.ledger import Ledger
from pipeline.runner.run_stage import Cancelled, run_stage


def _posed(count: int) -> list[Posed]:
    return [
        Posed(source_id=ids.source_id(f"{n}"), path=f"{n}.png", pose_id="p", split="train", control=b"png")
        for n in range(count)
    ]


def _run(stage: Any, rows: Sequence[Posed], ledger: Ledger, **options: Any) -> list[Any]:
    ledger.look_anew()  # as each run does
    fragment = run_stage(stage, lambda: rows, ids.rows_digest(rows), options.pop("shard", "0"), ledger, **options)
    return ledger.read(fragment, stage.row)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(str(tmp_path / "run"))


def test_one_row_for_each_slot_in_their_order(ledger: Ledger) -> None:
    rows = _run(ToySubjects(count=3), _posed(2), ledger)
    assert [str(row) for row in rows] == [f"{p.source_id}/train-s{n}" for p in _posed(2) for n in range(3)]
    assert all(len(row.slot_digest) == 64 for row in rows)


def test_done_is_not_done_again_nor_its_input_read(ledger: Ledger) -> None:
    stage = ToySubjects()
    _run(stage, _posed(2), ledger)
    stage.calls.clear()

    def never() -> list[Posed]:
        raise AssertionError("read the input of a finished shard")

    run_stage(stage, never, ids.rows_digest(_posed(2)), "0", Ledger(ledger.root))
    assert stage.calls == []


def test_rows_that_are_not_ok_stay_behind(ledger: Ledger) -> None:
    good, bad = _posed(2)
    rows = _run(ToySubjects(), [good, bad.reject(Reason.NO_PERSON)], ledger)
    assert {row.source_id for row in rows} == {good.source_id}


@pytest.mark.parametrize("change", ["settings", "input", "version"])
def test_what_the_result_depends_on_makes_it_anew(ledger: Ledger, change: str) -> None:
    stage, rows = ToySubjects(), _posed(1)
    _run(stage, rows, ledger)
    if change == "settings":
        stage = replace(stage, rejects=1000)
    elif change == "version":

        class Newer(ToySubjects):
            version = 2

        stage = Newer(calls=stage.calls)
    else:
        rows = [replace(rows[0], control=b"other")]
    stage.calls.clear()
    _run(stage, rows, ledger)
    assert len(stage.calls) == 3


def test_other_shards_reuse_rows(ledger: Ledger) -> None:
    """A new picture shifts all shards; only its own rows are new."""
    stage, posed = ToySubjects(), _posed(5)
    for number in range(2):
        _run(stage, posed[1 + 2 * number : 3 + 2 * number], ledger, shard=str(number))
    before = {str(row): row for f in ledger.fragments("subjects") for row in ledger.read(f, Subject)}
    stage.calls.clear()
    later = Ledger(ledger.root)
    rows = [row for number in range(3) for row in _run(stage, posed[2 * number :][:2], later, shard=str(number))]
    assert {key.split("/")[0] for key in stage.calls} == {posed[0].source_id}
    assert len(stage.calls) == 3
    assert all(row == before.get(str(row), row) for row in rows)
    assert len(rows) == 15


def test_a_new_licence_reaches_finished_rows(ledger: Ledger) -> None:
    stage = ToySubjects()
    old = _run(stage, _posed(1), ledger)
    stage.calls.clear()
    new = _run(stage, [replace(row, source_license="CC0", path="moved.png") for row in _posed(1)], ledger)
    assert stage.calls == []
    assert [row.subject_image for row in new] == [row.subject_image for row in old]
    assert {(row.source_license, row.path) for row in new} == {("CC0", "moved.png")}


def test_retry_failed_does_the_failed_ones_only(ledger: Ledger, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.touch()
    stage = ToySubjects(count=12, fails=3, broken=str(broken))
    first = _run(stage, _posed(2), ledger)
    failed = {str(row) for row in first if row.status == Status.FAILED}
    assert 0 < len(failed) < 24
    stage.calls.clear()
    assert _run(stage, _posed(2), ledger) == first
    assert stage.calls == []
    broken.unlink()
    second = _run(stage, _posed(2), ledger, retry="failed")
    assert set(stage.calls) == failed
    assert all(row.ok for row in second)
    assert [str(row) for row in second] == [str(row) for row in first]
    assert [row for row in second if str(row) not in failed] == [row for row in first if str(row) not in failed]
    stage.calls.clear()
    assert _run(stage, _posed(2), ledger, retry="failed") == second
    assert stage.calls == []
    assert len(ledger.fragments("subjects")) == 1


def test_retry_rejected_goes_on_with_the_next_attempt(ledger: Ledger) -> None:
    stage = ToySubjects(count=12, rejects=3)
    first = {str(row): row for row in _run(stage, _posed(2), ledger)}
    rejected = {key for key, row in first.items() if not row.ok}
    assert 0 < len(rejected) < 24
    for attempt in (1, 2):
        stage.calls.clear()
        rows = {str(row): row for row in _run(stage, _posed(2), ledger, retry="rejected")}
        assert set(stage.calls) == rejected
        assert {rows[key].subject_attempt for key in rejected} == {attempt}
        assert all(rows[key].subject_seed != first[key].subject_seed for key in rejected)
        rejected = {key for key, row in rows.items() if not row.ok}


def test_a_retry_upstream_redoes_downstream_only_what_changed(ledger: Ledger, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.touch()
    subjects, variations = ToySubjects(count=12, fails=3, broken=str(broken)), ToyVariations()
    rows = _run(subjects, _posed(1), ledger)
    _run(variations, rows, ledger)
    assert len(variations.calls) == 4 * sum(row.ok for row in rows)
    broken.unlink()
    variations.calls.clear()
    _run(variations, _run(subjects, _posed(1), ledger, retry="failed"), ledger)
    assert len(variations.calls) == 4 * sum(not row.ok for row in rows)


@dataclass(frozen=True)
class Careless(ToySubjects):
    """Breaks the contract of a stage."""

    fault: str = ""
    name: ClassVar[str] = "careless"
    calls: list[str] = field(default_factory=list, compare=False)

    def process(self, rows: Sequence[Subject]) -> Iterator[Row]:  # type: ignore[override]
        made = list(super().process(rows))
        if self.fault == "fewer":
            yield from made[1:]
        elif self.fault == "twice":
            yield from [*made, made[0]]
        else:
            yield from [replace(made[0], subject_id="unasked"), *made[1:]]


@pytest.mark.parametrize("fault", ["fewer", "twice", "unasked"])
def test_a_stage_that_breaks_the_contract_leaves_nothing(ledger: Ledger, fault: str) -> None:
    with pytest.raises(RuntimeError, match="stage careless gave back"):
        _run(Careless(fault=fault), _posed(1), ledger)
    assert ledger.fragments("careless") == []


def test_progress_counts_up_to_the_whole(ledger: Ledger) -> None:
    heard: list[events.Progress] = []
    stage = ToySubjects(count=10, rejects=3)
    rows = _run(stage, _posed(1), ledger, report=heard.append)
    _run(stage, _posed(1), ledger, report=heard.append)
    assert [p.done for p in heard] == [*range(11), 10, 10]
    assert {p.total for p in heard} == {10}
    assert heard[-2].finished
    assert heard[-2].rejected == sum(not row.ok for row in rows)
    assert heard[-2].ok + heard[-2].rejected == 10
    assert (heard[-1].reused, heard[-1].finished) == (10, True)


def test_cancel_stops_between_rows_and_leaves_nothing_half_done(ledger: Ledger) -> None:
    stage = ToySubjects(count=10)

    def stop(progress: events.Progress) -> None:
        if progress.done == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        _run(stage, _posed(1), ledger, report=stop)
    assert len(stage.calls) == 3
    assert ledger.fragments("subjects") == []


BUILD = """
import sys
from toy_stages import build, recipe
build(*sys.argv[1:4], recipe(variations={"seconds": 0.004}), shard_size=2)
print("done", flush=True)
"""


def test_killed_builds_resume_to_the_same_manifest(tmp_path: Path) -> None:
    """Kill -9 at many moments: the digest of one go, no stray files, and finished fragments stay as they are."""
    sources = write_pictures(tmp_path / "in", 6)
    calm = build(sources, tmp_path / "calm" / "v1.parquet", tmp_path / "calm" / "work").written
    work, manifest = tmp_path / "work", tmp_path / "out" / "v1.parquet"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}
    command = [sys.executable, "-c", BUILD, str(sources), str(manifest), str(work)]
    written: dict[str, int] = {}
    kills = 0
    for delay in (0.0, 0.08, 0.03, 0.12, 0.05, 0.2, 60.0):
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as running:
            started = len(list(work.rglob("*.parquet")))
            deadline = time.monotonic() + 60
            while (
                running.poll() is None and time.monotonic() < deadline and len(list(work.rglob("*.parquet"))) == started
            ):
                time.sleep(0.005)  # the interpreter's start does not count
            try:
                running.wait(delay)
            except subprocess.TimeoutExpired:
                running.send_signal(signal.SIGKILL)
                kills += 1
        now = {str(path): path.stat().st_mtime_ns for path in work.rglob("*.parquet") if not path.name.startswith(".")}
        assert written.items() <= now.items(), "a finished fragment was written again"
        written = now
    assert kills >= 3
    store.remove_stray(str(tmp_path))
    assert not list(tmp_path.rglob("*tmp*.*tmp")), "stray temporary files"
    again = build(sources, manifest, work, stages := recipe()).written
    assert again.digest == calm.digest
    assert [stage.calls for stage in stages[1:]] == [[], []]
    assert len(list(work.rglob("*"))) == 1 + 4 + 4 * 3
