"""``spotdiff replay``: does a stage give the same again?"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rich.table import Table

from flows.cli.console import err, out, set_up_logging
from pipeline.config import UserError
from pipeline.runner.build import last_config, open_build
from pipeline.runner.ledger import DamagedFragment
from pipeline.runner.replay import Difference, replay
from pipeline.stages.base import Stage


def run_replay(stage: str, shard: str, manifest: str, work: str, stages: Sequence[Stage] | None = None) -> int:
    """Runs a stage of a shard again and says what differs; gives the exit code. Changes nothing."""
    set_up_logging(verbose=False)
    build = open_build(last_config(manifest, work), stages)
    with err.status(f"Running {stage} of shard {shard} again ..."):
        try:
            done = replay(build, stage, shard)
        except DamagedFragment as damage:
            raise UserError(f"{damage}; the same `spotdiff build` makes it again") from damage
    where = f"{stage} {done.fragment.shard}"
    if not done.differences:
        out.print(f"{where}: equal, {done.rows} rows ({done.fragment.path})", style="green", markup=False)
        return 0
    rows = len({difference.row for difference in done.differences})
    out.print(f"{where}: {rows} of {done.rows} rows differ from {done.fragment.path}", style="bold red", markup=False)
    out.print(_table(done.differences))
    return 1


def _table(differences: Sequence[Difference]) -> Table:
    """A line a column: how many rows differ in it, by how much at most, and the first."""
    table = Table(box=None)
    for name in ("column", "rows", "by at most", "first row", "recorded", "replayed"):
        table.add_column(name, justify="right" if name in ("rows", "by at most") else "left")
    by_column = sorted(differences, key=lambda difference: difference.column)
    for column, group in groupby(by_column, key=lambda difference: difference.column):
        of_column = list(group)
        largest = max((each.by for each in of_column if each.by is not None), default=None)
        first = of_column[0]
        said = "" if largest is None else f"{largest:.3g}"
        table.add_row(column, str(len(of_column)), said, first.row, first.recorded, first.replayed)
    return table
