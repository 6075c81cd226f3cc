"""The sorted listing of source files: what a build works on."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from pipeline import ids, store
from pipeline.config import UserError
from pipeline.inputs.licenses import RightsFiles
from pipeline.records import Listed

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif")
_TABLES = (".parquet", ".csv")
_PATH_COLUMNS = ("path", "file", "file_name")


def list_sources(sources: Sequence[str], limit: int | None = None) -> list[Listed]:
    """The files to build from, sorted by path, each once.

    Args:
        sources: Each a folder (searched with its subfolders), a glob, a file, a file list (``.txt``, one path a line)
            or a table (``.parquet``, ``.csv``: a column ``path`` and, as wanted, ``license``, ``attribution``,
            ``source_uri``). Paths in lists and tables count from the list's folder. Local or ``s3://``.
        limit: Keep only the first so many.

    Raises:
        UserError: Nothing there, or a table without paths.
    """
    rights = RightsFiles()
    found: dict[str, tuple[str, Listed]] = {}
    for source in sources:
        entries = list(_entries(source))
        for named, row in entries:
            found.setdefault(row.location, (named, row))
        if not entries:
            raise UserError(f"sources: no images in {source!r} (looked for {', '.join(SUFFIXES)})")
    if not found:
        raise UserError("sources: none given; name a folder, a glob, files, a .txt list or a .parquet/.csv table")
    uses = Counter(row.path for _, row in found.values())
    rows = [replace(row, path=_text(named)) if uses[row.path] > 1 else row for named, row in found.values()]
    return [rights.complete(row) for row in sorted(rows, key=lambda row: row.path)[:limit]]


def _entries(source: str) -> Iterator[tuple[str, Listed]]:
    """The files of one argument, each with the longer name to use where short paths collide."""
    fs, path = store.filesystem(source)
    if fs.isdir(path):
        yield from _below(source, fs, path)
    elif fs.isfile(path):
        lowered = source.lower()
        if lowered.endswith(".txt"):
            yield from _listed_in(source, [{"path": line} for line in _lines(source)])
        elif lowered.endswith(_TABLES):
            yield from _listed_in(source, _table(source))
        else:
            yield source, _row(os.path.basename(source), fs, path, fs.info(path))
    elif glob.has_magic(source):
        matches = fs.glob(path, detail=True)
        for match, info in sorted(matches.items()):
            if info["type"] == "file" and match.lower().endswith(SUFFIXES):
                yield match, _row(match.rsplit("/", 1)[-1], fs, match, info)
    else:
        raise UserError(f"sources: {source!r}: no such file or folder")


def _below(source: str, fs: Any, root: str) -> Iterator[tuple[str, Listed]]:
    for match, info in sorted(fs.find(root, detail=True).items()):
        relative = match[len(root) :].lstrip("/")
        hidden = any(part.startswith(".") for part in relative.split("/"))
        if match.lower().endswith(SUFFIXES) and not hidden:
            yield store.join(source, relative), _row(relative, fs, match, info)


def _listed_in(source: str, entries: list[dict[str, str | None]]) -> Iterator[tuple[str, Listed]]:
    """Files that a list or table names; one that is missing stays in the listing, to be reported with the others."""
    folder = source.rsplit("/", 1)[0] if "/" in source else "."
    for entry in entries:
        named = str(entry["path"])
        absolute = named.startswith("/") or "://" in named
        fs, path = store.filesystem(named if absolute else store.join(folder, named))
        info = fs.info(path) if fs.isfile(path) else {}
        row = _row(os.path.basename(named) if absolute else named, fs, path, info)
        yield (
            named,
            replace(
                row,
                source_license=entry.get("license") or None,
                source_attribution=entry.get("attribution") or None,
                source_uri=entry.get("source_uri") or None,
            ),
        )


def _row(path: str, fs: Any, location: str, info: dict[str, Any]) -> Listed:
    changes = [str(info.get(name, "")) for name in ("size", "ETag", "mtime")] if info else ["missing"]
    if not isinstance(fs, LocalFileSystem):
        location = str(fs.unstrip_protocol(location))
    return Listed(path=_text(path), location=location, fingerprint=ids.digest(changes)[:16])


def _text(path: str) -> str:
    """A file name that is not UTF-8, made storable."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _lines(source: str) -> list[str]:
    try:
        text = store.read_bytes(source).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"sources: {source}: not a UTF-8 file list: {error}") from error
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _table(source: str) -> list[dict[str, str | None]]:
    try:
        with store.open_input(source) as file:
            if source.lower().endswith(".csv"):
                table = pa.csv.read_csv(file, convert_options=pa.csv.ConvertOptions(strings_can_be_null=True))
            else:
                table = pq.read_table(file)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"sources: {source}: cannot be read as a table: {error}") from error
    column = next((name for name in _PATH_COLUMNS if name in table.column_names), None)
    if column is None:
        raise UserError(f"sources: {source}: no column 'path' (columns: {', '.join(table.column_names)})")
    names = [column, *(name for name in ("license", "attribution", "source_uri") if name in table.column_names)]
    rows = []
    for row in table.select(names).to_pylist():
        if row[column] is not None:
            rows.append({"path": str(row.pop(column)), **{k: None if v is None else str(v) for k, v in row.items()}})
    return rows
