"""``spotdiff world``: the group of commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

world = typer.Typer(no_args_is_help=True, help="The miniature world: figures drawn in code, with known truth.")


@world.command()
def render(
    count: Annotated[int, typer.Option(min=1, help="How many pictures.")],
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    seed: Annotated[int, typer.Option(help="Seed of the first picture.")] = 0,
    size: Annotated[int, typer.Option(min=16, help="Side of the pictures, pixels.")] = 256,
) -> None:
    """Draw figures with masks, keypoints (COCO JSON), captions and factors."""
    from flows.cli.console import out as console
    from tinyworld.world.export import export

    export(out, count, seed, size)
    console.print(f"{count} pictures, masks and person_keypoints.json in {out}", markup=False)
