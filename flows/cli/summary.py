"""What a build has come to, at its end and in ``spotdiff status``."""

from __future__ import annotations

import time

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from flows.cli.console import out
from flows.cli.scheduler_news import runs_of
from pipeline.manifest.finish import finish, written
from pipeline.manifest.outcome import Outcome
from pipeline.runner.build import Build, last_config, open_build
from pipeline.runner.fragments import Counts, Fragments

WATCH_SECONDS = 2.0
"""Between two looks at a build's files."""


def show_summary(outcome: Outcome, report: str | None) -> None:
    """Counts by stage and reason, and where to look."""
    out.print(counts_table(outcome.counts, outcome.reasons))
    out.print(f"{outcome.rows} variations of {outcome.sources} sources accepted", style="bold green")
    places = {
        "manifest": outcome.manifest,
        "digest": outcome.digest,
        "rejected": outcome.rejected,
        "report": report,
    }
    for name, place in places.items():
        if place is not None:
            out.print(f"  {name:15}{place}", markup=False)


def counts_table(counts: Counts, reasons: Counts) -> Table:
    """One row per stage."""
    table = Table(box=None)
    for name in ("stage", "ok", "rejected", "failed"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    table.add_column("why")
    for stage, of_stage in counts.items():
        why = sorted(reasons.get(stage, {}).items(), key=lambda item: (-item[1], item[0]))
        numbers = (str(of_stage.get(status, 0)) for status in ("ok", "rejected", "failed"))
        table.add_row(stage, *numbers, ", ".join(f"{number} {reason}" for reason, number in why))
    return table


def show_status(manifest: str, work: str, watch: bool = False) -> None:
    """How far the build of a manifest is, from its files; and its runs, where a Prefect server is configured.

    Args:
        manifest: The manifest.
        work: The folder of the build's intermediate results.
        watch: Look again and again until the build is done.
    """
    build = open_build(last_config(manifest, work))
    found = watched(build) if watch else build.scan()
    out.print(_stages(build, found))
    if not build.complete(found):
        out.print(f"{manifest}: not finished; the same `spotdiff build` goes on from here", style="yellow")
    elif not written(build, found):
        out.print(f"{manifest}: all stages done, to be written by the same `spotdiff build`", style="yellow")
    else:
        outcome = finish(build, found)
        out.print(f"{manifest}: {outcome.rows} variations, digest {outcome.digest}", style="bold green")
        if outcome.problem:
            out.print(outcome.problem, style="bold red", markup=False)
    for line in runs_of(build.config):
        out.print(line, style="yellow", markup=False)


def watched(build: Build) -> Fragments:
    """Looks until the manifest is written; a terminal shows each look, elsewhere a line tells what has changed."""
    found, before = build.scan(), ""
    with Live(_stages(build, found), console=out, auto_refresh=False, transient=True) as live:
        while not (build.complete(found) and written(build, found)):
            now = ", ".join(f"{stage} {done} of {len(build.shards)}" for stage, done in _done(build, found))
            if out.is_terminal:
                live.update(_stages(build, found), refresh=True)
            elif now != before:
                out.print(now, markup=False)
            before = now
            time.sleep(WATCH_SECONDS)
            found = build.scan()
    return found


def _done(build: Build, found: Fragments) -> list[tuple[str, int]]:
    """Of each stage the shards that are through."""
    return [
        (stage.name, sum(len(chain) > number for chain in found.chains)) for number, stage in enumerate(build.stages)
    ]


def _stages(build: Build, found: Fragments) -> RenderableType:
    counts, reasons = found.counts()
    lines = [f"  {stage:12}{done} of {len(build.shards)} shards done" for stage, done in _done(build, found)]
    return Group(counts_table(counts, reasons), *map(Text, lines))
