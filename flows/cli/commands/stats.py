"""``spotdiff stats``: a manifest in numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from flows.options import ManifestArgument

if TYPE_CHECKING:
    import pandas as pd


def stats(
    manifest: ManifestArgument,
    json_: Annotated[bool, typer.Option("--json", help="As JSON on stdout.")] = False,
) -> None:
    """Count a manifest: rows by split, scores against thresholds, rejects by reason, licences."""
    import json

    from flows.cli.console import out
    from pipeline.exports.stats import stats as count
    from pipeline.manifest.read import Manifest

    there = Manifest(manifest)
    found = count(there)
    if json_:
        print(json.dumps({"digest": there.digest, **found.plain()}, indent=1, ensure_ascii=False))  # noqa: T201
        return
    out.print(f"{there.path}: {there.rows} variations, digest {there.digest}", style="bold")
    for name, table in found.tables().items():
        if len(table):
            show(table, name)


def show(table: pd.DataFrame, title: str) -> None:
    """A pandas table in the terminal."""
    from rich.table import Table

    from flows.cli.console import out

    flat = table.reset_index()
    shown = Table(title=title, title_justify="left", box=None)
    for column in flat.columns:
        shown.add_column(str(column), justify="left" if flat[column].dtype.kind in "OTUS" else "right", overflow="fold")
    for row in flat.itertuples(index=False):
        shown.add_row(*(_text(value) for value in row))
    out.print(shown)


def _text(value: object) -> str:
    if value is None or value != value:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
