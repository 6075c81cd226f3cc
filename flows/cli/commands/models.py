"""``spotdiff models``: the group of commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.options import FIELDS

models = typer.Typer(no_args_is_help=True, help="The profiles' models: where they are, getting and checking them.")


@models.command()
def fetch(
    profile: Annotated[str, typer.Argument(help="The profile whose models are wanted, shipped or a TOML file.")],
    wheel: Annotated[Path | None, typer.Option(help="For photos: mediapipe's wheel, got before: no network.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for --models-root, for machines without network. Without it: the user's cache."),
    ] = None,
) -> None:
    """Get a profile's model files, checked by sha256; goes on where it was stopped. What is there is left alone."""
    from flows.cli.models import fetch as get

    get(profile, wheel, out)


@models.command()
def verify(
    profile: Annotated[str, typer.Argument(help="The profile, shipped or a TOML file.")],
    models_root: Annotated[str | None, typer.Option(help=FIELDS["models_root"].description)] = None,
) -> None:
    """Compare the model files on this machine with the pinned sizes and sha256. Exit code 1 if any is not right."""
    from flows.cli.models import check

    raise typer.Exit(not check(profile, models_root))


@models.command(name="lock")
def lock_(
    profile: Annotated[str, typer.Argument(help="The profile, shipped or a TOML file.")],
    out: Annotated[Path | None, typer.Option(help="The file to write. Without it: beside the profile.")] = None,
) -> None:
    """Ask the hub for size and sha256 of all files of a profile's models, and write them down."""
    from flows.cli.models import pin

    pin(profile, out)


@models.command(name="list")
def list_models(
    profile: Annotated[str | None, typer.Option(help="Only this profile's, shipped or a TOML file.")] = None,
    models_root: Annotated[str | None, typer.Option(help=FIELDS["models_root"].description)] = None,
) -> None:
    """List models by profile: role, repo, licence, and where they are on this machine."""
    from flows.cli.models import show

    show(profile, models_root)
