"""``spotdiff diff``: what differs between two manifests."""

from __future__ import annotations

from typing import Annotated

import typer


def diff(
    a: Annotated[str, typer.Argument(help="The manifest A.")],
    b: Annotated[str, typer.Argument(help="The manifest B.")],
    html: Annotated[str | None, typer.Option(help="Also write a page with pictures of what changed.")] = None,
) -> None:
    """Say what differs from manifest A to B: rows and why, scores, settings, models. Exit code 1 if rows differ."""
    from flows.cli.commands.stats import show
    from flows.cli.console import out
    from pipeline import store
    from pipeline.exports.diff import diff as compare

    found = compare(a, b)
    for name, side in (("A", found.a), ("B", found.b)):
        out.print(f"{name}: {side.path}, {side.rows} rows, digest {side.digest}")
    for name, table in found.tables().items():
        show(table, name)
    if html:
        from pipeline.exports.diff_page import page

        store.write_bytes(html, page(found).encode())
        out.print(f"pictures of what changed: {html}")
    if found.same:
        out.print("the rows are the same in all columns", style="green")
        return
    raise typer.Exit(1)
