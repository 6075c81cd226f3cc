"""Building: one build, how far it is, doing a part of it again, and what it leaves behind."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli import stopping_at_once
from flows.options import FIELDS, MANIFEST, EngineName, Work, takes_build_options


@takes_build_options(
    sources=(Annotated[list[str], typer.Argument(help=FIELDS["sources"].description)], inspect.Parameter.empty),
    manifest=(Annotated[str, typer.Option(help=FIELDS["manifest"].description)], inspect.Parameter.empty),
)
def build(
    options: dict[str, Any],
    workers: Annotated[
        int | None, typer.Option(min=1, help="Shards worked on side by side. Without it: by the GPUs, or the cores.")
    ] = None,
    engine: Annotated[
        EngineName,
        typer.Option(help="local: threads of this process. ray: a Ray cluster, or all GPUs here."),
    ] = "local",
    ray_address: Annotated[
        str,
        typer.Option(help="auto: the cluster that is there, else one on this machine; local: the latter; or ray://..."),
    ] = "auto",
    part: Annotated[
        str | None,
        typer.Option(metavar="I/N", help="Do the I-th of N shares, without any scheduler; without it, all the rest."),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show Prefect's log and our own.")] = False,
    report: Annotated[bool, typer.Option(help="Write the report beside the manifest at the end.")] = True,
) -> None:
    """Build a dataset from images of people. Run it again to resume; a finished build answers at once."""
    from pipeline.config import UserError, build_config

    config = build_config(**options)
    if part is None:
        with stopping_at_once():
            from flows.cli.build import run_build
        raise typer.Exit(run_build(config, workers, verbose, engine=engine, ray_address=ray_address, report=report))
    if engine == "ray":
        raise UserError("--part: Ray spreads the shards itself; leave out --part, or --engine ray")
    with stopping_at_once():
        from flows.cli.part import run_part
    raise typer.Exit(run_part(config, part, workers, verbose))


def replay(
    stage: Annotated[str, typer.Argument(help="sources, poses, subjects or variations.")],
    shard: Annotated[str, typer.Argument(help="The shard's number, as in the names of its fragments.")],
    manifest: Annotated[str, typer.Option(help="The manifest of the build.")] = MANIFEST,
    work: Work = FIELDS["work"].default,
) -> None:
    """Do one stage of one shard again, from its recorded input, and compare. Exit code 1: it differs."""
    from flows.cli.replay import run_replay

    raise typer.Exit(run_replay(stage, shard, manifest, work))


def status(
    manifest: Annotated[str, typer.Argument(help="The manifest of the build.")] = MANIFEST,
    work: Work = FIELDS["work"].default,
    watch: Annotated[bool, typer.Option(help="Look again every two seconds until the build is done.")] = False,
) -> None:
    """Say how far a build is, from its files; and what its runs are at, where PREFECT_API_URL is set."""
    from flows.cli.summary import show_status

    show_status(manifest, work, watch)


def clean(
    manifest: Annotated[str, typer.Argument(help="The manifest of a finished build.")] = MANIFEST,
    work: Work = FIELDS["work"].default,
) -> None:
    """Free the work folder of a finished build, once its manifest is proved; a finished build still answers at once."""
    from flows.cli.clean import run_clean

    run_clean(manifest, work)


def deploy(
    folder: Annotated[Path, typer.Option(help="The project's folder, with prefect.yaml; runs work there.")] = Path(),
    limit: Annotated[
        list[str] | None, typer.Option(metavar="POOL=N", help="Builds that a work pool runs at a time.")
    ] = None,
) -> None:
    """Set up a Prefect server for builds: work pools, deployments, and what ends dead runs. Can be done again."""
    from flows.cli.deploy import run_deploy

    run_deploy(folder, limit or [])
