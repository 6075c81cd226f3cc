"""``spotdiff merge``: several manifests as one."""

from __future__ import annotations

from typing import Annotated

import typer


def merge(
    manifests: Annotated[list[str], typer.Argument(help="Two or more manifests.")],
    out: Annotated[str, typer.Option(help="The Parquet file to write.")],
) -> None:
    """Write several manifests as one; refuses what is there twice, crosses splits, or was made differently."""
    from flows.cli.console import out as console
    from pipeline.manifest.merge import merge_manifests

    made = merge_manifests(manifests, out)
    console.print(f"{made.path}: {made.rows} rows of {len(manifests)} manifests, digest {made.digest}")
