"""What a build has come to, at its end and in ``spotdiff status``."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from flows.cli.console import out
from flows.cli.scheduler_news import runs_of
from pipeline.manifest.finish import finish, written
from pipeline.manifest.outcome import Outcome
from pipeline.runner.build import last_config, open_build
from pipeline.runner.fragments import Counts


def show_summary(outcome: Outcome, sheets: Path | None) -> None:
    """Counts by stage and reason, and where to look."""
    out.print(counts_table(outcome.counts, outcome.reasons))
    out.print(f"{outcome.rows} variations of {outcome.sources} sources accepted", style="bold green")
    places = {
        "manifest": outcome.manifest,
        "digest": outcome.digest,
        "rejected": outcome.rejected,
        "contact sheets": sheets,
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


def show_status(manifest: str, work: str) -> None:
    """How far the build of a manifest is, from its files; and its runs, where a Prefect server is configured."""
    build = open_build(last_config(manifest, work))
    found = build.scan()
    counts, reasons = found.counts()
    out.print(counts_table(counts, reasons))
    for number, stage in enumerate(build.stages):
        done = sum(len(chain) > number for chain in found.chains)
        out.print(f"  {stage.name:12}{done} of {len(build.shards)} shards done", markup=False)
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
