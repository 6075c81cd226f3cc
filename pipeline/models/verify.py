"""Whether the model files on this machine are the pinned ones. Asks no hub and opens nothing but to hash it."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from pipeline.config import ModelFile
from pipeline.models.hub import differs, place
from pipeline.models.lock import Wanted


class State(StrEnum):
    """What is known of a file."""

    OK = "ok"
    NOT_PINNED = "not pinned"
    MISSING = "missing"
    WRONG = "wrong"


class Finding(NamedTuple):
    """A file's path in its repo, its state, and what is wrong with it."""

    path: str
    state: State
    detail: str = ""


def verify(want: Wanted) -> Iterator[Finding]:
    """One finding a file that a model wants: those that are here, those of the lock, and weights that are neither."""
    folder = place(want, None)
    here = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} if folder else set()
    paths = want.matching(here | want.pins.keys())
    for path in paths:
        yield _judge(folder / path if folder and path in here else None, path, want.pins.get(path))
    for pattern in want.unmet(paths):
        yield Finding(pattern, State.MISSING)


def _judge(file: Path | None, path: str, pin: ModelFile | None) -> Finding:
    if file is None:
        return Finding(path, State.MISSING)
    if pin and (wrong := differs(file, pin)):
        return Finding(path, State.WRONG, wrong)
    return Finding(path, State.OK if pin and pin.sha256 else State.NOT_PINNED)
