"""``spotdiff card``: a manifest's papers."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.options import ManifestArgument


def card(
    manifest: ManifestArgument,
    out: Annotated[str | None, typer.Option(help="Folder. Without it: __card__/NAME/ beside the manifest.")] = None,
    license: Annotated[str | None, typer.Option(help="Of the dataset. Without it: the sources'.")] = None,
    creator: Annotated[str | None, typer.Option(help="Who publishes it.")] = None,
    url: Annotated[str | None, typer.Option(help="Where it is to be found.")] = None,
) -> None:
    """Write the data card (README.md) and Croissant (croissant.json) of a manifest, filled from its run."""
    from flows.cli.console import out as console
    from pipeline.exports.card import Given
    from pipeline.exports.papers import write_card

    for path in write_card(manifest, out, Given(license=license, creator=creator, url=url)):
        console.print(path)
