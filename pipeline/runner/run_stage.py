"""Runs one stage on one shard: takes what is done from the ledger, does the rest, writes the fragment."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Literal

from pipeline import ids
from pipeline.records import Row, Status
from pipeline.runner import events
from pipeline.runner.ledger import Fragment, Ledger
from pipeline.stages.base import Stage

logger = logging.getLogger(__name__)
_PREFERENCE = (Status.OK, Status.REJECTED, Status.FAILED)


class Cancelled(Exception):
    """The build was asked to stop; what was finished stays finished."""


def run_stage(
    stage: Stage,
    rows: Callable[[], Sequence[Row]],
    input_digest: str,
    shard: str,
    ledger: Ledger,
    *,
    retry: Literal["failed", "rejected"] | None = None,
    cancel: threading.Event | None = None,
) -> Fragment:
    """Makes sure that a stage is done for a shard.

    Args:
        stage: The stage, with its settings.
        rows: Gives the input rows; called only when there is something to do. Rows that are not ``ok`` are left out.
        input_digest: Digest of these rows (the previous fragment's, or :func:`pipeline.ids.rows_digest`).
        shard: Its name.
        ledger: Where the run's fragments are.
        retry: Do rows with this status again. A rejected slot goes on with the attempt after its last.
        cancel: When set, the stage stops after the row at hand.

    Returns:
        The fragment: found, or written just now with one row for each slot, in the order of ``stage.expand``.

    Raises:
        Cancelled: ``cancel`` was set.
    """
    settings = ids.digest([stage.name, stage.version, stage.settings()])
    key = ids.digest([settings, input_digest])
    done = ledger.find(stage.name, shard, key)
    if done and not (retry and done.counts.get(retry)):
        _report(stage, shard, done.total, Counter(done.counts), reused=done.total, finished=True)
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
    _report(stage, shard, len(slots), counts, reused)
    if todo:
        for row in stage.process(todo):
            if row.slot not in slots or row.slot in finished:
                raise RuntimeError(f"stage {stage.name} gave back a row that it was not asked for: {row.slot}")
            assert type(row) is stage.row, f"stage {stage.name} gives {type(row).__name__}, not {stage.row.__name__}"
            finished[row.slot] = dataclasses.replace(row, slot_digest=digests[row.slot])
            counts[str(row.status)] += 1
            _report(stage, shard, len(slots), counts, reused)
            if cancel and cancel.is_set():
                raise Cancelled(f"{stage.name} {shard}")
    missing = next((name for name in slots if name not in finished), None)
    if missing is not None:
        raise RuntimeError(f"stage {stage.name} gave back no row for {missing}")

    in_order = [finished[name] for name in slots]
    fragment = ledger.write(in_order, stage.row, stage=stage.name, shard=shard, key=key, settings=settings)
    _report(stage, shard, fragment.total, counts, reused, finished=True)
    return fragment


def _reusable(
    stage: Stage, ledger: Ledger, settings: str, slots: dict[str, Any], digests: dict[str, str]
) -> dict[str, Row]:
    """Finished rows of earlier fragments whose slot has the same digest now; the better outcome where there are two."""
    found: dict[str, Row] = {}
    for fragment in ledger.earlier(stage.name, settings, {slot.about for slot in slots.values()}):
        for row in ledger.read(fragment, stage.row):
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


def _report(stage: Stage, shard: str, total: int, counts: Counter[str], reused: int, *, finished: bool = False) -> None:
    events.emit(
        events.Progress(
            stage=stage.name,
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
