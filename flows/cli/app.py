"""The commands and their options. What they do is in the modules that they import when they are called."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli import stopping_at_once
from flows.cli.card import card
from flows.cli.diff import diff
from flows.cli.export import export
from flows.cli.merge import merge
from flows.cli.reproduce import reproduce
from flows.cli.stats import stats
from flows.options import EngineName, takes_build_options
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
models = typer.Typer(no_args_is_help=True, help="The profiles' models: where they are, getting and checking them.")
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
) -> None:
    """Build a dataset from images of people. Run it again to resume; a finished build answers at once."""
    from pipeline.config import UserError, build_config

    config = build_config(**options)
    if part is None:
        with stopping_at_once():
            from flows.cli.build import run_build
        raise typer.Exit(run_build(config, workers, verbose, engine=engine, ray_address=ray_address))
    if engine == "ray":
        raise UserError("--part: Ray spreads the shards itself; leave out --part, or --engine ray")
    with stopping_at_once():
        from flows.cli.part import run_part
    raise typer.Exit(run_part(config, part, workers, verbose))


@app.command()
def replay(
    stage: Annotated[str, typer.Argument(help="sources, poses, subjects or variations.")],
    shard: Annotated[str, typer.Argument(help="The shard's number, as in the names of its fragments.")],
    manifest: Annotated[str, typer.Option(help="The manifest of the build.")] = MANIFEST,
    work: Work = FIELDS["work"].default,
) -> None:
    """Do one stage of one shard again, from its recorded input, and compare. Exit code 1: it differs."""
    from flows.cli.replay import run_replay

    raise typer.Exit(run_replay(stage, shard, manifest, work))


@app.command()
def status(
    manifest: Annotated[str, typer.Argument(help="The manifest of the build.")] = MANIFEST,
    work: Work = FIELDS["work"].default,
) -> None:
    """Say how far a build is, from its files; and what its runs are at, where PREFECT_API_URL is set."""
    from flows.cli.summary import show_status

    show_status(manifest, work)


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
def clean(
    manifest: Annotated[str, typer.Argument(help="The manifest of a finished build.")] = MANIFEST,
    work: Work = FIELDS["work"].default,
) -> None:
    """Free the work folder of a finished build, once its manifest is proved; a finished build still answers at once."""
    from flows.cli.clean import run_clean

    run_clean(manifest, work)


@app.command()
def deploy(
    folder: Annotated[Path, typer.Option(help="The project's folder, with prefect.yaml; runs work there.")] = Path(),
    limit: Annotated[
        list[str] | None, typer.Option(metavar="POOL=N", help="Builds that a work pool runs at a time.")
    ] = None,
) -> None:
    """Set up a Prefect server for builds: work pools, deployments, and what ends dead runs. Can be done again."""
    from flows.cli.deploy import run_deploy

    run_deploy(folder, limit or [])


@app.command()
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


@app.command()
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


@app.command()
def doctor(
    models_root: Annotated[str | None, typer.Option(help=FIELDS["models_root"].description)] = None,
    work: Work = FIELDS["work"].default,
    json_: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Look at this machine: devices, memory, disk, models, Prefect, Ray, storage, versions. Exit code 1: a problem."""
    from flows.cli.doctor import examine

    raise typer.Exit(not examine(models_root, work, json_))


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


for command in (stats, diff, merge, card, export, reproduce):
    app.command()(command)


def run() -> int:
    """Runs the command line; gives the exit code."""
    try:
        app()
    except SystemExit as done:
        if done.__context__ and isinstance(done.__context__.__cause__, KeyboardInterrupt):
            raise done.__context__.__cause__ from None  # typer keeps silent about it
        return done.code if isinstance(done.code, int) else int(bool(done.code))
    return 0
