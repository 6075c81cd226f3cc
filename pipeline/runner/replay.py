"""One stage of one shard again, from its recorded input, beside what the ledger has: for whoever hunts a difference.

A machine that computes otherwise (other kernels, other libraries, a bad disk) shows itself in a column of numbers or in
pixels. The ledger is only read: what is made anew lies in a temporary folder.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from pipeline.config import UserError
from pipeline.imaging.png import from_png
from pipeline.records import Row, Status
from pipeline.runner.build import Build
from pipeline.runner.ledger import Fragment, Ledger
from pipeline.runner.plan import Shard
from pipeline.runner.task import StageTask

_PNG = b"\x89PNG"


@dataclass(frozen=True)
class Difference:
    """One value that comes out otherwise than it is in the ledger.

    Attributes:
        row: The row's slot.
        column: Field of the row; ``row`` where one of the two has no such row.
        recorded, replayed: How each reads, short.
        by: Largest distance of numbers, of pixels in grey levels 0..255; None where distance means nothing.
    """

    row: str
    column: str
    recorded: str
    replayed: str
    by: float | None = None


@dataclass(frozen=True)
class Replay:
    """What came of a replay.

    Attributes:
        fragment: The recorded one.
        rows: How many rows were compared.
        differences: Row by row, in order; none: equal.
    """

    fragment: Fragment
    rows: int
    differences: list[Difference]


def replay(build: Build, stage: str, shard: str) -> Replay:
    """Runs one stage of one shard again and compares.

    Args:
        build: As it was last told (:func:`pipeline.runner.build.last_config`).
        stage: The stage's name.
        shard: The shard's name, with or without its leading zeros.

    Raises:
        UserError: There is no such stage or shard, or it has not been done yet.
        DamagedFragment: A recorded fragment is not what was written.
    """
    tasks = build.tasks
    names = [task.name for task in tasks]
    if stage not in names:
        raise UserError(f"replay: no stage {stage!r}; the build's are {', '.join(names)}")
    number = names.index(stage)
    place = int(shard) if shard.isascii() and shard.isdecimal() else len(build.shards)
    if place >= len(build.shards):
        raise UserError(f"replay: no shard {shard!r}; the build's go from 000000 to {build.shards[-1].name}")
    found = build.scan()
    chain = found.chains[place]
    if len(chain) <= number:
        raise UserError(
            f"replay: stage {stage} of shard {build.shards[place].name} is not done with these settings; "
            "the same `spotdiff build` goes on from here"
        )
    behind = build.shards[place]
    if number and found.duplicates is not None:
        behind = replace(behind, opened=chain[0], duplicates=found.duplicates.among(chain[0].sources))
    # the first stage reads the listing, the second the first one's fragment with its duplicates marked
    before = chain[number - 1] if number > 1 else None
    recorded = build.ledger.read(chain[number], tasks[number].stage.row)
    replayed = _again(tasks[number], behind, before, recorded)
    return Replay(chain[number], len(recorded), _differences(recorded, replayed))


def _again(task: StageTask, shard: Shard, before: Fragment | None, recorded: Sequence[Row]) -> list[Row]:
    """The rows as they come out now; slots that were tried again later (``--retry rejected``) are so here, too."""
    kind = task.stage.row
    due = {row.slot: getattr(row, kind.ATTEMPT) for row in recorded} if kind.ATTEMPT else {}

    def early(row: Row) -> bool:
        return row.status == Status.REJECTED and row.slot in due and getattr(row, kind.ATTEMPT) < due[row.slot]

    with tempfile.TemporaryDirectory(prefix="spotdiff-replay-") as folder:
        apart = Ledger(folder)
        rows = apart.read(task.run(shard, before, into=apart), kind)
        while any(map(early, rows)):
            apart.look_anew()
            more = apart.read(replace(task, retry="rejected").run(shard, before, into=apart), kind)
            rows = [new if early(old) else old for old, new in zip(rows, more, strict=True)]
    return rows


def _differences(recorded: Sequence[Row], replayed: Sequence[Row]) -> list[Difference]:
    before, now = ({row.slot: row for row in rows} for rows in (recorded, replayed))
    found = []
    for slot in dict.fromkeys([*before, *now]):
        one, other = before.get(slot), now.get(slot)
        if one is None or other is None:
            said = ("not there", "there") if one is None else ("there", "not there")
            found.append(Difference("/".join(slot), "row", *said))
            continue
        for column in (each.name for each in fields(one)):
            old, new = getattr(one, column), getattr(other, column)
            if old != new:
                found.append(Difference("/".join(slot), column, _short(old), _short(new), _distance(old, new)))
    return found


def _short(value: Any) -> str:
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, float):
        return f"{value:.6g}"
    return " ".join(str(value).split())[:60]


def _distance(old: Any, new: Any) -> float | None:
    """How far two values are from each other; None: they cannot be laid side by side."""
    if isinstance(old, bytes) and isinstance(new, bytes):
        if not old.startswith(_PNG) or not new.startswith(_PNG):
            return None
        old, new = from_png(old), from_png(new)
    if old is None or new is None or isinstance(old, str | bool) or isinstance(new, str | bool):
        return None
    one, other = np.asarray(old, np.float64), np.asarray(new, np.float64)
    if one.shape != other.shape or not one.size:
        return None
    return float(np.abs(one - other).max())
