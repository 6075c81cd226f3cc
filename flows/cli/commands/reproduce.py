"""``spotdiff reproduce``: one picture made again, and held against the manifest's."""

from __future__ import annotations

from typing import Annotated

import typer


def reproduce(
    variation_id: Annotated[str, typer.Argument(help="Which one: its variation_id.")],
    manifest: Annotated[str, typer.Option(help="The manifest that it is in.")],
    out: Annotated[str, typer.Option(help="The PNG to write.")],
    source: Annotated[
        str | None, typer.Option(help="The source's file, or a folder it is in. Without it: where the build had it.")
    ] = None,
    poses: Annotated[str | None, typer.Option(help="The pose file. Without it: the build's.")] = None,
    models_root: Annotated[str | None, typer.Option(help="Models in hub layout. Without it: the build's.")] = None,
) -> None:
    """Make one variation again from the manifest's footer and the source. Exit code 1 if the bytes differ."""
    import os

    from flows.cli.console import err, set_up_logging
    from flows.cli.console import out as console
    from pipeline import store
    from pipeline.exports.reproduce import reproduce as remake
    from pipeline.manifest.read import Manifest

    set_up_logging(verbose=False)
    there = Manifest(manifest)
    threads = (there.footer.get("profile") or {}).get("torch_threads", 1)
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    made = remake(there, variation_id, source=source, poses=poses, models_root=models_root)
    store.write_bytes(out, made.image)
    if made.models:
        err.print(f"other models than the build's: {', '.join(made.models)}", style="yellow")
    if made.same:
        console.print(f"{out}: the same bytes, sha256 {made.expected}", style="green")
        return
    device = (there.footer.get("digest_scope") or {}).get("device")
    of = f" (the build's device: {device})" if device else ""
    err.print(
        f"{out}: not the same bytes: {made.changed:.2%} of the pixels differ, by {made.largest} of 255 at most and "
        f"{made.mean:.4f} in the mean; another device, or other versions, round differently{of}",
        style="red",
    )
    raise typer.Exit(1)
