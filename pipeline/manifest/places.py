"""Where the files of a manifest lie, and how their names say which generation of it they belong to.

Each time a manifest is written is a *generation*: 12 hex, of which the first six count up, so that the names sort by
age. Whatever a killed writer left can thus be told from what is whole.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pipeline import ids, store
from pipeline.config import manifest_stem

SUFFIX = ".parquet"
REJECTED = "__rejected__"
"""The folder beside a manifest that holds the lists of what did not get in. ``datasets`` passes over such names."""
_COUNT = 6
_GENERATION = rf"[0-9a-f]{{{2 * _COUNT}}}"
_PART = re.compile(rf"part-(\d{{5}})(?:-({_GENERATION}))?\{SUFFIX}")


def folder_of(path: str) -> str:
    """The folder that a file is in."""
    return path.rpartition("/")[0] or ("/" if path.startswith("/") else ".")


def beside(path: str, name: str) -> str:
    """The path of ``name`` in the folder that a file is in."""
    return store.join(folder_of(path), name) if "/" in path else name


def name_of(path: str) -> str:
    return path.rpartition("/")[2]


def part_path(path: str, number: int, generation: str) -> str:
    return f"{manifest_stem(path)}/part-{number:05d}-{generation}{SUFFIX}"


def part_of(path: str) -> tuple[int, str] | None:
    """Number and generation that a part's name says (none in manifests of before); None: it is no part's name."""
    found = _PART.fullmatch(name_of(path))
    return (int(found[1]), found[2] or "") if found else None


def rejected_path(path: str, generation: str) -> str:
    """Where the list of what did not get into this generation stands: ``__rejected__/v1-<generation>.parquet``."""
    return beside(path, rejected_name(path, generation))


def rejected_name(path: str, generation: str) -> str:
    """The same, as seen from the manifest's folder."""
    return f"{REJECTED}/{name_of(manifest_stem(path))}-{generation}{SUFFIX}"


def old_rejected_path(path: str) -> str:
    """Where that list stood before there were generations: beside the manifest."""
    return f"{manifest_stem(path)}.rejected{SUFFIX}"


def rejected_lists(path: str) -> list[str]:
    """All lists of this manifest, whatever their generation."""
    name = re.compile(rf"{re.escape(name_of(manifest_stem(path)))}-{_GENERATION}\{SUFFIX}")
    lists = store.list_files(beside(path, REJECTED), SUFFIX)
    return [one for one in lists if name.fullmatch(name_of(one))]


def next_generation(path: str, here: str, footer: Mapping[str, Any]) -> str:
    """The name of a new generation: it sorts behind all that there are traces of.

    Args:
        path: The manifest.
        here: Generation of the manifest that is there now; empty: there is none, or it has none.
        footer: What the new one is made with; tells apart two writers that counted alike.
    """
    parts = [part_of(part) for part in store.list_files(manifest_stem(path), SUFFIX)]
    lists = [name_of(one)[: -len(SUFFIX)].rpartition("-")[2] for one in rejected_lists(path)]
    known = [here, *(part[1] for part in parts if part), *lists]
    count = max(int(name[:_COUNT], 16) if name else 0 for name in known)
    return f"{count + 1:0{_COUNT}x}{ids.digest(dict(footer))[:_COUNT]}"
