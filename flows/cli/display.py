"""The live display of a build: a table that is redrawn on a terminal, a line now and then elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from flows.cli.console import err
from flows.progress import Tally
from pipeline.runner.every import every

LINE_SECONDS = 15.0
"""Between lines where there is no terminal."""


@contextmanager
def display(tally: Tally, title: str, console: Console = err) -> Iterator[None]:
    """Shows a tally as long as the block runs."""
    if console.is_terminal:
        with Live(get_renderable=lambda: table(tally, title), console=console, refresh_per_second=4):
            yield
        return

    def report() -> None:
        console.print(line(tally), markup=False)

    try:
        with every(LINE_SECONDS, report, "display"):
            yield
    finally:
        report()


def table(tally: Tally, title: str) -> Table:
    """A row per stage, and speed and time left below."""
    grid = Table(
        title=f"Building {title}", caption=_pace(tally), title_justify="left", caption_justify="left", box=None
    )
    for name in ("stage", "", "done", "ok", "rejected", "failed"):
        grid.add_column(name, justify="left" if name in ("stage", "") else "right")
    for stage in tally.stages():
        bar = ProgressBar(total=max(stage.expected, 1), completed=stage.done, width=30)
        failed = Text(str(stage.failed), style="bold red" if stage.failed else "")
        grid.add_row(stage.stage, bar, f"{stage.done}/{stage.expected}", str(stage.ok), str(stage.rejected), failed)
    return grid


def line(tally: Tally) -> str:
    """The same in one line."""
    stages = tally.stages()
    current = next((stage for stage in stages if stage.done < stage.expected), stages[-1])
    accepted = stages[-1].ok
    rejected, failed = sum(stage.rejected for stage in stages), sum(stage.failed for stage in stages)
    where = f"{current.stage} {current.done}/{current.expected}"
    return f"{where}, {accepted} accepted, {rejected} rejected, {failed} failed, {_pace(tally)}"


def _pace(tally: Tally) -> str:
    speed, left = tally.images_per_second(), tally.seconds_left()
    said = [f"{clock(tally.seconds())} elapsed"]
    if speed is not None:
        said.insert(0, f"{speed:.1f} images/s")
    if left is not None:
        said.append(f"about {clock(left)} left")
    return ", ".join(said)


def clock(seconds: float) -> str:
    """``1:02:03`` or ``2:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
