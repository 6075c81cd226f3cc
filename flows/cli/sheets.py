"""Contact sheets: where they go, and drawing them from a build's fragments."""

from __future__ import annotations

from pathlib import Path

from pipeline import store
from pipeline.config import UserError, manifest_stem
from pipeline.runner.build import Build, last_config, open_build
from pipeline.runner.fragments import Fragments
from pipeline.runner.ledger import DamagedFragment


def sheets_folder(manifest: str) -> Path | None:
    """The folder beside a manifest; None for one in an object store."""
    return Path(f"{manifest_stem(manifest)}.contact") if store.is_local(manifest) else None


def draw(build: Build, found: Fragments, folder: Path, limit: int | None = None) -> int:
    """Draws the sheets of the sources that are finished; gives their number."""
    from pipeline.report.contact_sheet import write_contact_sheets

    fragments = [fragment for chain in found.chains for fragment in chain]
    try:
        return len(write_contact_sheets(build.ledger, fragments, folder, limit))
    except DamagedFragment as damage:
        raise UserError(f"{damage}: contact sheets are drawn from fragments; build again to draw them") from damage


def draw_sheets(manifest: str, work: str, out: Path | None) -> None:
    """``spotdiff contact-sheet``."""
    from flows.cli.console import out as console

    folder = out or sheets_folder(manifest)
    if folder is None:
        raise UserError(f"{manifest} is not on this machine: name a folder with --out")
    build = open_build(last_config(manifest, work))
    number = draw(build, build.scan(), folder)
    console.print(f"{number} contact sheets in {folder}", markup=False)
