"""Looking at a manifest, and choosing from it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.options import FIELDS, MANIFEST, ManifestArgument, Work


def validate(manifest: ManifestArgument) -> None:
    """Check a manifest: schema, checksums, ids, factor counts, split leaks. Exit code 1 if anything is wrong."""
    from flows.cli.console import err, out
    from pipeline.manifest.read import Manifest
    from pipeline.manifest.validate.manifest import validate as problems_of

    problems = problems_of(manifest)
    for problem in problems:
        err.print(str(problem), style="red", markup=False)
    if problems:
        raise typer.Exit(1)
    out.print(f"{manifest}: {Manifest(manifest).rows} rows, nothing wrong", style="green", markup=False)


def filter_(
    manifest: ManifestArgument,
    out: Annotated[str, typer.Option(help="The Parquet file to write.")],
    where: Annotated[str | None, typer.Option(help="Which rows, e.g. \"pose_score > .8 and split = 'train'\".")] = None,
    split: Annotated[str | None, typer.Option(help="Only rows of this split.")] = None,
    sample: Annotated[int | None, typer.Option(min=1, help="Only so many rows, drawn at random.")] = None,
    seed: Annotated[int, typer.Option(help="Of the sample.")] = 0,
    parent: Annotated[
        str | None,
        typer.Option(help="Where the rows are from, if another program filtered them and dropped the footer."),
    ] = None,
) -> None:
    """Write some of a manifest's rows as a manifest. Without conditions: make another program's file one."""
    from flows.cli.console import err
    from flows.cli.console import out as console
    from pipeline.manifest.filter import Choice, filter_manifest

    choice = Choice(where=where, split=split, sample=sample, seed=seed)
    made = filter_manifest(manifest, out, choice, parent)
    if "profile" not in made.footer:
        message = f"{manifest} does not say how it was made, so {out} does not either; name its origin with --parent"
        err.print(message, style="yellow", markup=False)
    console.print(f"{made.path}: {made.rows} rows, digest {made.digest}", markup=False)


def contact_sheet(
    manifest: Annotated[str, typer.Argument(help="The manifest of the build.")] = MANIFEST,
    work: Work = FIELDS["work"].default,
    out: Annotated[Path | None, typer.Option(help="Folder to write to. Without it: beside the manifest.")] = None,
) -> None:
    """Draw one PNG per source: the source, its pose, the subjects, their masks and all variations."""
    from flows.cli.sheets import draw_sheets

    draw_sheets(manifest, work, out)


def report(
    manifest: ManifestArgument,
    work: Work = FIELDS["work"].default,
    out: Annotated[
        str | None, typer.Option(help="Folder or URL to write to. Without it: __report__ beside the manifest.")
    ] = None,
    originals: Annotated[bool, typer.Option(help="Store the pictures as they are, too, not thumbnails alone.")] = False,
) -> None:
    """Write a static site that shows a dataset: counts, scores, coverage, every source, what was rejected."""
    from flows.cli.report import make_report

    make_report(manifest, work, out, originals)
