"""``spotdiff contact-sheet``: one picture a source, drawn from the manifest, or from a build's fragments."""

from __future__ import annotations

from pathlib import Path

from flows.cli.console import set_up_logging
from flows.cli.report import run_pictures
from pipeline import store
from pipeline.config import UserError
from pipeline.manifest.finish import written
from pipeline.manifest.read import Manifest
from pipeline.report.places import sheets_folder
from pipeline.runner.build import last_config, open_build


def draw_sheets(manifest: str, work: str, out: Path | None) -> None:
    """Draws the sheets of the sources that are finished; says where they are."""
    from flows.cli.console import out as console

    set_up_logging(verbose=False)
    if out is None and not store.is_local(manifest):
        raise UserError(f"{manifest} is not on this machine: name a folder with --out")
    folder = out or sheets_folder(manifest)
    console.print(f"{len(_draw(manifest, work, folder))} contact sheets in {folder}", markup=False)


def _draw(manifest: str, work: str, folder: str | Path) -> list[str]:
    """From the manifest, or from the fragments of a build whose manifest is not written yet."""
    from pipeline.report.contact_sheet import save_sheets, write_contact_sheets
    from pipeline.report.manifest_sheets import manifest_sheets

    try:
        build = open_build(last_config(manifest, work))
    except UserError as unknown:
        try:
            there = Manifest(manifest)
        except UserError:
            raise unknown from None
    else:
        found = build.scan()
        if not (build.complete(found) and written(build, found)):
            fragments = [fragment for chain in found.chains for fragment in chain]
            return write_contact_sheets(build.ledger, fragments, folder)
        there = Manifest(manifest)
    return save_sheets(manifest_sheets(there, run_pictures(there, work, "contact sheets go")), folder)
