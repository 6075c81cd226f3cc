"""Rights that lie beside the photos: a ``LICENSES.csv`` in or above a source's folder."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

from pipeline import store
from pipeline.config import UserError
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
        """The row with what it does not say itself about its rights; the nearest CSV that names the file speaks."""
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

    def _of(self, folder: str) -> dict[str, Rights]:
        if folder not in self._read:
            self._read[folder] = _load(f"{folder}/{NAME}")
        return self._read[folder]


def _load(url: str) -> dict[str, Rights]:
    try:
        text = store.read_bytes(url).decode("utf-8-sig")
    except (FileNotFoundError, PermissionError, NotADirectoryError):
        return {}
    except UnicodeDecodeError as error:
        raise UserError(f"{url}: not UTF-8: {error}") from error
    reader = csv.DictReader(io.StringIO(text, newline=""))
    if "file" not in (reader.fieldnames or ()):
        raise UserError(f"{url}: no column 'file' (columns: {', '.join(reader.fieldnames or ())})")
    rights = {}
    for row in reader:
        licence = ", ".join(part for part in (row.get("licence_name"), row.get("licence_url")) if part)
        rights[row["file"] or ""] = (licence or None, row.get("attribution") or None, row.get("source_url") or None)
    return rights
