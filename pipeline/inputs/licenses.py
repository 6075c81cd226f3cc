"""Rights that lie beside the photos: a ``LICENSES.csv`` in or above a source's folder."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace

from pipeline import store
from pipeline.config import UserError
from pipeline.inputs.files import NotAFile, open_file, warn_once
from pipeline.inputs.tables import read_csv
from pipeline.records import Listed

NAME = "LICENSES.csv"
Rights = tuple[str | None, str | None, str | None]
"""Licence, attribution, URI."""


class RightsFiles:
    """Looks rights up in the ``LICENSES.csv`` files of a file's folder and the folders above it; reads each once.

    Columns: ``file`` (path from the CSV's folder) and, each optional, ``licence_name``, ``licence_url``,
    ``attribution``, ``source_url``.
    """

    def __init__(self) -> None:
        self._read: dict[str, dict[str, Rights]] = {}

    def complete(self, row: Listed) -> Listed:
        """The row with what it does not say itself about its rights; the nearest CSV that names the file speaks.

        Raises:
            UserError: A CSV that is there is not a table of this form.
        """
        if row.source_license and row.source_uri and row.source_attribution:
            return row
        folder, _, name = row.location.rpartition("/")
        while folder and not folder.endswith(":/"):
            rights = self._of(folder).get(name)
            if rights:
                return replace(
                    row,
                    source_license=row.source_license or rights[0],
                    source_attribution=row.source_attribution or rights[1],
                    source_uri=row.source_uri or rights[2],
                )
            folder, _, last = folder.rpartition("/")
            name = f"{last}/{name}"
        return row

    def tell_unused(self, locations: Set[str]) -> None:
        """One line for each CSV that names files which are no sources."""
        for folder, rights in self._read.items():
            unused = [name for name in rights if f"{folder}/{name}" not in locations]
            if unused:
                warn_once(
                    f"{folder}/{NAME}: {len(unused)} of {len(rights)} rows name no source of this build, "
                    f"such as {unused[0]!r}"
                )

    def _of(self, folder: str) -> dict[str, Rights]:
        if folder not in self._read:
            self._read[folder] = _load(f"{folder}/{NAME}")
        return self._read[folder]


def _load(url: str) -> dict[str, Rights]:
    if not _is_there(url):
        return {}
    _, rows = read_csv(url, "rights", ["file"])
    rights = {}
    for row in rows:
        licence = ", ".join(part for part in (row.get("licence_name"), row.get("licence_url")) if part)
        rights[row.get("file", "")] = (licence or None, row.get("attribution"), row.get("source_url"))
    return rights


def _is_there(url: str) -> bool:
    try:
        open_file(url).close()
    except (FileNotFoundError, NotADirectoryError, UserError):  # the last: an odd address in a list
        return False
    except PermissionError:  # what S3 also says of a file that is missing, to those who may not list
        if store.is_local(url):
            warn_once(f"rights: {url}: Permission denied; the sources go without it")
        return False
    except NotAFile:
        return True  # reading it says what it is
    return True
