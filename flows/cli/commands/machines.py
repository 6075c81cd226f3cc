"""What a build takes, and what the machine gives."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.options import FIELDS, Work


def plan(
    sources: Annotated[list[str], typer.Argument(help=FIELDS["sources"].description)],
    profile: Annotated[str, typer.Option(help=FIELDS["profile"].description)] = "sd15",
    subjects: Annotated[int, typer.Option(min=1, help=FIELDS["subjects"].description)] = FIELDS["subjects"].default,
    backgrounds: Annotated[int, typer.Option(min=1, help=FIELDS["backgrounds"].description)] = FIELDS[
        "backgrounds"
    ].default,
    gpu: Annotated[str | None, typer.Option(help="Take the published speeds of this GPU, e.g. a100.")] = None,
    gpus: Annotated[int, typer.Option(min=1, help="How many.")] = 1,
    price: Annotated[float | None, typer.Option(min=0, help="Of one GPU and hour, in any currency.")] = None,
    speeds: Annotated[Path | None, typer.Option(help="Speeds that `spotdiff bench --out` wrote.")] = None,
    accept_subjects: Annotated[float | None, typer.Option(min=0.01, max=1, help="Share of attempts accepted.")] = None,
    accept_variations: Annotated[float | None, typer.Option(min=0.01, max=1, help="The same.")] = None,
    like: Annotated[str | None, typer.Option(help="Read what is accepted off this manifest.")] = None,
) -> None:
    """Estimate a build: pictures, image-steps, GPU hours, wall time, bytes and cost. Generates nothing."""
    from flows.cli.plan import Machines
    from flows.cli.plan import plan as show
    from pipeline.config import build_config

    config = build_config(sources=tuple(sources), profile=profile, subjects=subjects, backgrounds=backgrounds)
    show(config, Machines(gpu, gpus, price, speeds), (accept_subjects, accept_variations), like)


def bench(
    profile: Annotated[str, typer.Option(help=FIELDS["profile"].description)] = FIELDS["profile"].default,
    models_root: Annotated[str | None, typer.Option(help=FIELDS["models_root"].description)] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long each pipeline runs at least.")] = 10.0,
    workers: Annotated[int | None, typer.Option(min=1, help="Threads side by side, as in a build.")] = None,
    out: Annotated[str | None, typer.Option(help="File for `spotdiff plan --speeds`.")] = None,
) -> None:
    """Measure this machine: image-steps a second of both pipelines, pictures a second of the judges."""
    from flows.cli.plan import run_bench

    run_bench(profile, models_root, seconds, workers, out)


def doctor(
    models_root: Annotated[str | None, typer.Option(help=FIELDS["models_root"].description)] = None,
    work: Work = FIELDS["work"].default,
    json_: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Look at this machine: devices, memory, disk, models, Prefect, Ray, storage, versions. Exit code 1: a problem."""
    from flows.cli.doctor import examine

    raise typer.Exit(not examine(models_root, work, json_))
