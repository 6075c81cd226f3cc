"""``python -m spotdiff_model.leaderboard FOLDER ...``: one table from the metrics.json of many evaluations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spotdiff_model.command import run


def main(
    evaluations: Annotated[list[str], typer.Argument(help="metrics.json files, or folders below which they lie.")],
    output: Annotated[str | None, typer.Option(help="Markdown file to write, too.")] = None,
) -> None:
    """Puts evaluations beside each other; those of other data or of another protocol get a table of their own."""
    from pipeline import store
    from spotdiff_model.evaluation.report.leaderboard import markdown, read_boards

    text = markdown(read_boards(evaluations))
    if output:
        store.write_bytes(str(Path(output)), (text + "\n").encode())
    typer.echo(text)


if __name__ == "__main__":
    run(main)
