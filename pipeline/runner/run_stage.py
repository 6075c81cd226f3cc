"""Runs one stage on one shard: takes what is done from the ledger, does the rest, writes the fragment."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

from pipeline import ids
from pipeline.records import Row, Status
from pipeline.runner.events import Progress
from pipeline.runner.ledger import DamagedFragment, Fragment, Ledger
from pipeline.stages.base import Stage

Report = Callable[[Progress], None]
Slot = tuple[str, ...]
_PREFERENCE = (Status.OK, Status.REJECTED, Status.FAILED)


class Cancelled(Exception):
    """The build was asked to stop; what was finished stays finished. Raised by an engine's report."""


def silent(progress: Progress) -> None:
    """A report to nobody."""


def done_before(
    stage: str,
    settings: str,
    input_digest: str,
    shard: str,
    ledger: Ledger,
    retry: Literal["failed", "rejected"] | None,
    there: Mapping[str, Fragment] | None = None,
) -> Fragment | None:
    """The finished fragment of a stage and shard, if there is one with no row to try again.

    Args:
        stage: Its name.
        settings: From :func:`settings_digest`.
        input_digest, shard, ledger, retry: See :func:`run_stage`.
        there: See :meth:`Ledger.find`.
    """
    found = ledger.find(stage, shard, ids.digest([settings, input_digest]), there)
    return None if found and retry and found.counts.get(retry) else found


def run_stage(
    stage: Stage,
    rows: Callable[[], Sequence[Row]],
    input_digest: str,
    shard: str,
    ledger: Ledger,
    *,
    retry: Literal["failed", "rejected"] | None = None,
    report: Report = silent,
) -> Fragment:
    """Makes sure that a stage is done for a shard.

    Args:
        stage: The stage, with its settings.
        rows: Gives the input rows; called only when there is something to do. Rows that are not ``ok`` are left out.
        input_digest: Digest of these rows (the previous fragment's, or :func:`pipeline.ids.rows_digest`).
        shard: Its name.
        ledger: Where the run's fragments are.
        retry: Do rows with this status again. A rejected slot goes on with the attempt after its last.
        report: Told of the progress after each row. What it raises stops the stage, and no fragment is written.

    Returns:
        The fragment: found, or written just now with one row for each slot, in the order of ``stage.expand``.
    """
    tell = partial(_tell, report, stage.name, shard)
    settings = settings_digest(stage)
    if done := done_before(stage.name, settings, input_digest, shard, ledger, retry):
        tell(Counter(done.counts), done.total, done.total, finished=True)
        return done

    slots = {slot.slot: slot for slot in stage.expand([row for row in rows() if row.ok])}
    digests = {name: ids.slot_digest(slot) for name, slot in slots.items()}
    finished = _reusable(stage, ledger, settings, slots, digests)
    again = {name for name, row in finished.items() if retry and row.status == retry}
    todo = [
        _next_attempt(slot, finished[name]) if name in again and retry == "rejected" else slot
        for name, slot in slots.items()
        if name in again or name not in finished
    ]
    for name in again:
        del finished[name]

    reused = len(finished)
    counts = Counter(str(row.status) for row in finished.values())
    tell(counts, len(slots), reused)
    for row in stage.process(todo) if todo else ():
        if row.slot not in slots or row.slot in finished:
            raise RuntimeError(f"stage {stage.name} gave back a row that it was not asked for: {row}")
        assert type(row) is stage.row, f"stage {stage.name} gives {type(row).__name__}, not {stage.row.__name__}"
        finished[row.slot] = dataclasses.replace(row, slot_digest=digests[row.slot])
        counts[str(row.status)] += 1
        tell(counts, len(slots), reused)
    missing = next((slot for name, slot in slots.items() if name not in finished), None)
    if missing is not None:
        raise RuntimeError(f"stage {stage.name} gave back no row for {missing}")

    in_order = [finished[name] for name in slots]
    key = ids.digest([settings, input_digest])
    fragment = ledger.write(in_order, stage.row, stage=stage.name, shard=shard, key=key, settings=settings)
    tell(counts, fragment.total, reused, finished=True)
    return fragment


def settings_digest(stage: Stage) -> str:
    """Digest of all that a stage's results depend on besides the input."""
    return ids.digest([stage.name, stage.version, stage.settings()])


def _reusable(
    stage: Stage, ledger: Ledger, settings: str, slots: dict[Slot, Any], digests: dict[Slot, str]
) -> dict[Slot, Row]:
    """Finished rows of earlier fragments whose slot has the same digest now; the better outcome where there are two."""
    found: dict[Slot, Row] = {}
    for fragment in ledger.earlier(stage.name, settings, {name[0] for name in slots}):
        try:
            rows = ledger.read(fragment, stage.row)
        except DamagedFragment as damage:
            ledger.discard(damage)
            continue
        for row in rows:
            if digests.get(row.slot) != row.slot_digest:
                continue
            known = found.get(row.slot)
            if known is None or _merit(row) > _merit(known):
                slot = slots[row.slot]
                found[row.slot] = dataclasses.replace(row, **{name: getattr(slot, name) for name in slot.CARRIED})
    return found


def _merit(row: Row) -> tuple[int, int]:
    return -_PREFERENCE.index(row.status), getattr(row, row.ATTEMPT) if row.ATTEMPT else 0


def _next_attempt(slot: Any, last: Row) -> Any:
    if not slot.ATTEMPT:
        return slot
    return dataclasses.replace(slot, **{slot.ATTEMPT: getattr(last, slot.ATTEMPT) + 1})


def _tell(
    report: Report,
    stage: str,
    shard: str,
    counts: Counter[str],
    total: int,
    reused: int,
    *,
    finished: bool = False,
) -> None:
    report(
        Progress(
            stage=stage,
            shard=shard,
            done=sum(counts.values()),
            total=total,
            ok=counts[Status.OK],
            rejected=counts[Status.REJECTED],
            failed=counts[Status.FAILED],
            reused=reused,
            finished=finished,
        )
    )
