"""``spotdiff export``: a manifest in the layouts that other tools read, and to the hub."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from flows.options import ManifestArgument

if TYPE_CHECKING:
    from pipeline.exports.export import Exported


def export(
    manifest: ManifestArgument,
    dest: Annotated[str, typer.Argument(help="An empty folder or s3:// URL; the same call again goes on with it.")],
    to: Annotated[str, typer.Option(help="hf, webdataset, imagefolder or coco.")],
    pairs: Annotated[
        str | None,
        typer.Option(help="subject: pairs (reference, target, caption, mask) of one subject, with --to imagefolder."),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Only rows of this split.")] = None,
    license: Annotated[str | None, typer.Option(help="Of the dataset, for its card. Without it: the sources'.")] = None,
    creator: Annotated[str | None, typer.Option(help="Who publishes it, for its card.")] = None,
    url: Annotated[str | None, typer.Option(help="Where it will be found, for its card.")] = None,
    push_to_hub: Annotated[
        str | None, typer.Option(help="Say what would go to this repo (owner/name) of the hub; --yes sends it.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Really push to the hub.")] = False,
) -> None:
    """Write a manifest as hub Parquet, WebDataset, imagefolder or COCO, with card, Croissant and checksums."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    from flows.cli.console import err
    from flows.cli.console import out as console
    from pipeline.config import UserError
    from pipeline.exports.export import export as write
    from pipeline.exports.push import check_target, push

    if pairs not in (None, "subject"):
        raise UserError(f"--pairs {pairs}: there is subject")
    if push_to_hub:
        check_target(push_to_hub, dest)
    with Progress("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=err) as bar:
        task = bar.add_task(f"rows to {to}", total=None)
        done: Exported = write(
            manifest, to, dest, pairs=pairs is not None, split=split, license=license, creator=creator, url=url,
            report=lambda through, of: bar.update(task, completed=through, total=of),
        )  # fmt: skip
    rows = ", ".join(f"{split} {count}" for split, count in done.rows.items())
    size = sum(size for size, _ in done.files.values())
    console.print(f"{dest}: {len(done.files)} files, {size} bytes ({rows}); SHA256SUMS lists them")
    if done.reused:
        console.print(f"{done.reused} pieces were there already")
    if done.note:
        err.print(done.note, style="yellow")
    if push_to_hub:
        console.print(push(dest, push_to_hub, done.files, really=yes))
