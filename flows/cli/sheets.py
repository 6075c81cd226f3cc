"""``spotdiff contact-sheet``: one picture a source, drawn from a build's fragments."""

from __future__ import annotations

from pathlib import Path

from pipeline import store
from pipeline.config import UserError
from pipeline.report.places import sheets_folder
from pipeline.runner.build import last_config, open_build
from pipeline.runner.ledger import DamagedFragment


def draw_sheets(manifest: str, work: str, out: Path | None) -> None:
    """Draws the sheets of the sources that are finished; says where they are."""
    from flows.cli.console import out as console
    from pipeline.report.contact_sheet import write_contact_sheets

    if out is None and not store.is_local(manifest):
        raise UserError(f"{manifest} is not on this machine: name a folder with --out")
    folder = out or sheets_folder(manifest)
    build = open_build(last_config(manifest, work))
    fragments = [fragment for chain in build.scan().chains for fragment in chain]
    try:
        number = len(write_contact_sheets(build.ledger, fragments, folder))
    except DamagedFragment as damage:
        raise UserError(f"{damage}: contact sheets are drawn from fragments; build again to draw them") from damage
    console.print(f"{number} contact sheets in {folder}", markup=False)
