"""``spotdiff clean``: frees the work folder of a finished build."""

from __future__ import annotations

from flows.cli.console import out
from pipeline.manifest.clean import clean
from pipeline.runner.build import last_config, open_build


def run_clean(manifest: str, work: str) -> None:
    """Proves the manifest, then drops the rows of its build's fragments."""
    with out.status(f"Validating {manifest} ..."):
        done = clean(open_build(last_config(manifest, work)))
    out.print(
        f"{manifest}: nothing wrong; {done.emptied} fragments emptied, {done.removed} of earlier settings removed, "
        f"{done.freed / 1e6:.1f} MB freed",
        style="green",
        markup=False,
    )
