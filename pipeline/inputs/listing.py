"""The sorted listing of source files: what a build works on."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline import store
from pipeline.config import UserError
from pipeline.inputs import walk
from pipeline.inputs.files import fingerprint, is_file, kind_of, warn_once
from pipeline.inputs.formats import SUFFIXES
from pipeline.inputs.licenses import NAME as RIGHTS_FILE
from pipeline.inputs.licenses import RightsFiles
from pipeline.inputs.matching import match
from pipeline.inputs.pose_file import read_pose_file
from pipeline.inputs.tables import Cells, read_csv, read_lines, read_parquet
from pipeline.records import Listed

_TABLES = (".parquet", ".csv", ".tsv")
_PATH_COLUMNS = ("path", "file", "file_name")
_RIGHTS = {"license": "source_license", "attribution": "source_attribution", "source_uri": "source_uri"}
"""Columns of a table, and what they are called in a row."""
_NO_RIGHTS: Mapping[str, Any] = {}


@dataclass(frozen=True)
class _Named:
    """A file as it was named: shortly, at length (where short names collide), and where it lies."""

    path: str
    longer: str
    location: str
    fingerprint: str | None = None
    rights: Mapping[str, Any] = field(default_factory=lambda: _NO_RIGHTS)


def list_sources(sources: Sequence[str], limit: int | None = None, poses: str | None = None) -> list[Listed]:
    """The files to build from, sorted by path, each once. Files beyond ``limit`` are named only, not looked at.

    What a folder or a glob holds besides pictures is counted in one warning.

    Args:
        sources: Each a folder (searched with its subfolders), a glob, a file, a file list (``.txt``, one path a line)
            or a table (``.parquet``, ``.csv``: a column ``path`` and, as wanted, ``license``, ``attribution``,
            ``source_uri``). Paths in lists and tables count from the list's folder. Local or ``s3://``.
        limit: Keep only the first so many.
        poses: A pose file; each row is told its entry there.

    Raises:
        UserError: Nothing there, a table without paths, or a pose file that speaks of none of the files.
    """
    left_out = walk.LeftOut(known=frozenset([RIGHTS_FILE, *([os.path.basename(poses)] if poses else [])]))
    found: dict[str, _Named] = {}
    for source in sources:
        before = left_out.counts.total()
        entries = list(_entries(source, left_out))
        for named in entries:
            found.setdefault(named.location, named)
        if not entries:
            others = f"; {left_out}" if left_out.counts.total() > before else ""
            raise UserError(f"sources: no images in {source!r} (looked for {', '.join(SUFFIXES)}){others}")
    if not found:
        raise UserError("sources: none given; name a folder, a glob, files, a .txt list or a .parquet/.csv table")
    every = sorted(_distinct(list(found.values())), key=lambda named: named.path)
    entry_of: dict[str, str] = {}
    if poses:
        entry_of = match(read_pose_file(poses), [(named.path, named.location) for named in every])
    rights = RightsFiles()
    rows = [rights.complete(_row(named, entry_of.get(named.path))) for named in every[:limit]]
    _tell(left_out, sources)
    rights.tell_unused(found.keys())
    return rows


def _entries(source: str, left_out: walk.LeftOut) -> Iterator[_Named]:
    """The files of one argument."""
    fs, path = store.filesystem(source)
    lowered = source.lower()
    if fs.isdir(path):
        for name, location, changes in walk.below(source, left_out):
            yield _Named(name, store.join(source, name), location, changes)
    elif not fs.isfile(path) and glob.has_magic(source):
        for name, location, changes in walk.matching(source, left_out):
            yield _Named(name, location, location, changes)
    elif not fs.isfile(path):
        kind = kind_of(path) if store.is_local(source) else None
        raise UserError(f"sources: {source!r}: {kind or 'no such file or folder'}")
    elif lowered.endswith(".txt"):
        yield from _of_list(source)
    elif lowered.endswith(_TABLES):
        read = read_parquet(source, "sources", _PATH_COLUMNS, list(_RIGHTS)) if lowered.endswith(".parquet") else None
        column, rows = read or read_csv(source, "sources", _PATH_COLUMNS)
        yield from _of_table(source, column, rows, left_out)
    else:
        yield _Named(os.path.basename(source), source, _location(fs, path))


def _of_list(source: str) -> Iterator[_Named]:
    """The lines; one that begins with ``#`` is a comment unless there is a file of that name."""
    for line in read_lines(source):
        text = line.strip()
        if text and (not text.startswith("#") or any(is_file(_beside(source, name)) for name in (line, text))):
            yield _in_list(source, line, {})


def _of_table(source: str, column: str, rows: Iterable[Cells], left_out: walk.LeftOut) -> Iterator[_Named]:
    for row in rows:
        if row.get(column, "").strip():
            yield _in_list(source, row[column], {_RIGHTS[name]: row[name] for name in _RIGHTS if name in row})
        else:
            left_out.add("row without a path")


def _in_list(source: str, named: str, rights: dict[str, Any]) -> _Named:
    """A file that a list or table names. One that is missing stays in, to be reported with the others.

    Blanks around a name are part of it if there is such a file.
    """
    if named != named.strip() and not is_file(_beside(source, named)):
        named = named.strip()
    where = _beside(source, named)
    try:
        location = _location(*store.filesystem(where))
    except UserError:  # an odd address spoils its own row only
        location = where
    return _Named(os.path.basename(named) if where == named else named, where, location, rights=rights)


def _beside(source: str, named: str) -> str:
    """A path in a list, seen from here."""
    if named.startswith("/") or "://" in named:
        return named
    return store.join(source.rsplit("/", 1)[0] or "/" if "/" in source else ".", named)


def _location(fs: object, path: str) -> str:
    protocol = getattr(fs, "protocol", "")
    return path if "file" in protocol else str(fs.unstrip_protocol(path))  # type: ignore[attr-defined]


def _distinct(every: list[_Named]) -> list[_Named]:
    """The same, with longer paths where short ones collide."""
    for longer in ("longer", "location"):
        uses = Counter(_text(named.path) for named in every)
        every = [
            replace(named, path=getattr(named, longer)) if uses[_text(named.path)] > 1 else named for named in every
        ]
    return [named if (text := _text(named.path)) == named.path else replace(named, path=text) for named in every]


def _row(named: _Named, pose_entry: str | None) -> Listed:
    try:
        changes = named.fingerprint or fingerprint(named.location)
    except UserError:
        changes = "unknown"
    return Listed(path=named.path, location=named.location, fingerprint=changes, pose_entry=pose_entry, **named.rights)


def _text(path: str) -> str:
    """A file name that is not UTF-8, made storable."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _tell(left_out: walk.LeftOut, sources: Sequence[str]) -> None:
    if left_out.counts:
        warn_once(f"sources: {', '.join(sources)}: {left_out}")
