"""Where reports and contact sheets go, and whether a report is that of the manifest as it stands."""

from __future__ import annotations

from pipeline import ids, store
from pipeline.config import manifest_stem
from pipeline.manifest.places import beside, name_of
from pipeline.manifest.read import Manifest

REPORTS, SHEETS = "__report__", "__contact__"
"""Folders beside a manifest. ``datasets`` passes over such names; others with pictures it takes for the data."""
INDEX = "index.html"
FORMAT = 1
"""Raised when the pages change, so that the next build writes them again."""
MARK = "data/report.txt"


def report_folder(manifest: str) -> str:
    """Where the report of a manifest goes: ``__report__/<stem>`` beside it."""
    return beside(manifest, f"{REPORTS}/{name_of(manifest_stem(manifest))}")


def sheets_folder(manifest: str) -> str:
    """Where the contact sheets of a manifest go: ``__contact__/<stem>`` beside it."""
    return beside(manifest, f"{SHEETS}/{name_of(manifest_stem(manifest))}")


def is_current(manifest: Manifest, folder: str) -> bool:
    """Whether a folder holds the report of the manifest as it stands now."""
    mark = store.join(folder, MARK)
    return store.exists(mark) and store.read_bytes(mark).decode(errors="replace") == mark_of(manifest)


def mark_of(manifest: Manifest) -> str:
    """Names the content that a report shows, and the form of the report."""
    rejected = manifest.footers[-1].get("rejected")
    return ids.digest([FORMAT, manifest.digest, rejected.get("sha256") if isinstance(rejected, dict) else None])
