"""``spotdiff report``: the site that shows a manifest."""

from __future__ import annotations

import logging
from pathlib import Path

from flows.cli.console import out as console
from flows.cli.console import set_up_logging
from pipeline.config import UserError
from pipeline.manifest.finish import written
from pipeline.manifest.read import Manifest
from pipeline.report.places import report_folder
from pipeline.report.run_pictures import RunPictures
from pipeline.report.write import write_report
from pipeline.runner.build import last_config, open_build

logger = logging.getLogger(__name__)


def make_report(path: str, work: str, out: str | None, originals: bool) -> None:
    """Writes the report; says where it is."""
    set_up_logging(verbose=False)
    manifest = Manifest(path)
    folder = out or report_folder(manifest.path)
    if out and Path(out).is_dir() and any(Path(out).iterdir()) and not (Path(out) / "assets" / "report.css").exists():
        raise UserError(f"--out {out}: holds other things than a report; name an empty or a new folder")
    report = write_report(manifest, folder, run_pictures(manifest, work, "the report goes"), originals=originals)
    console.print(f"{report.path}: {report.files} files, {report.bytes / 1e6:.1f} MB", markup=False)


def run_pictures(manifest: Manifest, work: str, goes: str) -> RunPictures | None:
    """What the run's work folder still has; None where it has nothing to this manifest, with a line that says why.

    Args:
        manifest: The dataset.
        work: The folder of the build's intermediate results.
        goes: How that line begins: what ``goes`` without its pictures.
    """
    try:
        build = open_build(last_config(manifest.path, work))
        found = build.scan()
        if not build.complete(found) or not written(build, found):
            raise UserError(f"the build in {work} has moved on since {manifest.path} was written")
    except UserError as error:
        logger.warning("%s without photos, figures and rejected pictures: %s", goes, error)
        return None
    return RunPictures(build.ledger, [fragment for chain in found.chains for fragment in chain])
