"""The report of a build: written when the build is over, by whoever ran it."""

from __future__ import annotations

import logging

from pipeline.config import UserError
from pipeline.failures import told
from pipeline.manifest.read import Manifest
from pipeline.report.places import INDEX, is_current, report_folder
from pipeline.runner.build import Build

logger = logging.getLogger(__name__)


def write_build_report(build: Build) -> str | None:
    """Writes the report of a finished build beside its manifest, unless it is there already.

    Returns:
        Its first page; None: it could not be written, which is told but costs the build nothing.
    """
    try:
        manifest = Manifest(build.config.manifest)
        folder = report_folder(manifest.path)
        if not is_current(manifest, folder):
            from pipeline.report.run_pictures import RunPictures
            from pipeline.report.write import write_report

            fragments = [fragment for chain in build.without_retry().scan().chains for fragment in chain]
            write_report(manifest, folder, RunPictures(build.ledger, fragments))
        return f"{folder}/{INDEX}"
    except Exception as error:
        message = str(error) if isinstance(error, UserError) else told(error)
        again = f"`spotdiff report {build.config.manifest}` tries again"
        logger.warning("no report was written: %s; %s", message or repr(error), again, exc_info=message is None)
        return None
