"""Finds the files of a folder or a glob by their names alone; opens nothing, and says what it leaves out."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from pipeline import store
from pipeline.inputs.files import fingerprint_of, kind_of
from pipeline.inputs.formats import SUFFIXES, may_be_a_picture, suffix

Found = Iterator[tuple[str, str, str | None]]
"""Of each file its name (relative to the folder, or bare), its location, and its fingerprint where that is at hand."""


@dataclass
class LeftOut:
    """What a listing leaves out.

    Attributes:
        known: Names of files that have another use in the build, so that nobody misses them.
        counts: Files and folders by what they are.
    """

    known: frozenset[str] = frozenset()
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, kind: str, path: str = "") -> None:
        if path.rsplit("/", 1)[-1] not in self.known:
            self.counts[kind] += 1

    def __str__(self) -> str:
        """``left out: 7 (.txt 4, hidden 3)``."""
        ranked = sorted(self.counts.items(), key=lambda item: (-item[1], item))
        return f"left out: {self.counts.total()} ({', '.join(f'{kind} {count}' for kind, count in ranked)})"


def below(folder: str, left_out: LeftOut) -> Found:
    """The pictures of a folder and its subfolders. Links to folders are followed, but no folder is taken twice."""
    fs, root = store.filesystem(folder)
    if store.is_local(folder):
        for path in _local(root, left_out):
            yield path[len(root) :].lstrip("/"), path, None
        return
    for path, info in sorted(fs.find(root, detail=True).items()):
        relative = path[len(root) :].lstrip("/")
        if any(part.startswith(".") for part in relative.split("/")):
            left_out.add("hidden")
        elif info["type"] == "file" and relative and not relative.endswith("/") and _wanted(relative, left_out):
            yield relative, str(fs.unstrip_protocol(path)), fingerprint_of(info)


def matching(pattern: str, left_out: LeftOut) -> Found:
    """The pictures that a glob names."""
    fs, path = store.filesystem(pattern)
    if store.is_local(pattern):
        for match in sorted(glob.iglob(path, recursive=True)):
            if suffix(match) in SUFFIXES:  # what a name says need not be looked at
                yield os.path.basename(match), match, None
            elif os.path.isdir(match):
                left_out.add("folders")
            elif _listed(match, left_out):
                yield os.path.basename(match), match, None
        return
    for match, info in sorted(fs.glob(path, detail=True).items()):
        if info["type"] != "file":
            left_out.add("folders")
        elif _wanted(match, left_out):
            yield match.rsplit("/", 1)[-1], str(fs.unstrip_protocol(match)), fingerprint_of(info)


def _local(root: str, left_out: LeftOut) -> Iterator[str]:
    """Folders first by their own names, then by the links to them, so that a link never takes a folder's place."""
    seen: set[tuple[int, int]] = set()
    links: list[str] = []
    folders = [root]
    within = _inside(root)
    while folders or links:
        linked = not folders
        folder = (folders or links).pop()
        try:
            state = os.stat(folder)
            if (state.st_dev, state.st_ino) in seen or (linked and within.startswith(_inside(folder))):
                if linked:
                    left_out.add("link to a folder that is there already or above")
                continue
            seen.add((state.st_dev, state.st_ino))
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            left_out.add("folder that cannot be read")
            continue
        for entry in entries:
            if entry.name.startswith("."):
                left_out.add("hidden")
            elif _is_folder(entry):
                (links if entry.is_symlink() else folders).append(entry.path)
            elif _listed(entry.path, left_out, entry):
                yield entry.path


def _inside(folder: str) -> str:
    """What the real paths of all that a folder holds begin with."""
    return os.path.realpath(folder).rstrip("/") + "/"


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads in a circle
        return False


def _listed(path: str, left_out: LeftOut, entry: os.DirEntry[str] | None = None) -> bool:
    """Whether a local path is listed; what is no file is, if its name says picture: it is refused later, by name."""
    plain = entry is not None and entry.is_file(follow_symlinks=False)  # known without asking for each file
    kind = None if plain else kind_of(path)
    if kind and not suffix(path):
        left_out.add(kind.removeprefix("a "))
        return False
    return _wanted(path, left_out)


def _wanted(path: str, left_out: LeftOut) -> bool:
    if may_be_a_picture(path):
        return True
    left_out.add(suffix(path), path)
    return False
