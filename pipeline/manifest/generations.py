"""Which files are the manifest just now: the newest generation that is whole, as one file or as a folder of parts."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import store
from pipeline.arrow import open_parquet
from pipeline.config import UserError, manifest_stem
from pipeline.manifest.places import REJECTED, SUFFIX, beside, old_rejected_path, part_of, rejected_lists
from pipeline.manifest.schema import FOOTER
from pipeline.manifest.staged import strays
from pipeline.object_store import StoreUnavailable

_TRIES = 20
"""How often it is looked again when files vanish between being listed and being opened."""


@dataclass(frozen=True)
class Generation:
    """The files of one writing of a manifest.

    Attributes:
        name: 12 hex; empty for files of other programs and of versions that had no generations.
        paths: The file, or the parts in order.
        footers: Each part's (empty where another program wrote the file).
        rows: Each part's number of rows.
    """

    name: str
    paths: list[str]
    footers: list[dict[str, Any]]
    rows: list[int]

    @property
    def ours(self) -> bool:
        return any("part" in footer for footer in self.footers)

    @property
    def whole(self) -> bool:
        """Whether all parts are there, each under its own name. Nothing can be said of other programs' files."""
        if not self.ours:
            return True
        numbers = [footer.get("part") for footer in self.footers]
        named = [part_of(path) for path in self.paths]
        totals = [footer["total"] for footer in self.footers if "total" in footer]
        return (
            numbers == list(range(len(self.paths)))
            and all(name is None or name[0] == number for name, number in zip(named, numbers, strict=True))
            and [total.get("parts") if isinstance(total, dict) else None for total in totals] == [len(self.paths)]
            and len({_made(footer) for footer in self.footers}) == 1
        )


def newest(path: str) -> Generation:
    """The manifest as it stands at this moment.

    Args:
        path: ``….parquet``; both this file and the folder of the same stem are looked at.

    Raises:
        UserError: Nothing there, not Parquet, or parts are missing.
    """
    for _ in range(_TRIES):
        try:
            return _newest(path)
        except FileNotFoundError:
            continue  # replaced in between
    raise UserError(f"manifest {path}: its files come and go while it is opened; try again when nobody writes it")


def _newest(path: str) -> Generation:
    file = read_generation([path]) if store.exists(path) else None
    groups: dict[str, list[str]] = defaultdict(list)
    for part in store.list_files(manifest_stem(path), SUFFIX):
        groups[(part_of(part) or (0, ""))[1]].append(part)
    parts, damaged = _newest_parts(groups)
    if file and file.whole and parts and parts.name and not file.footers[0]:
        raise UserError(
            f"manifest {path}: spotdiff did not write this file, and the folder {manifest_stem(path)} is a manifest, "
            "too; move one of them away"
        )
    found = max((one for one in (file, parts) if one and one.whole), key=lambda one: one.name, default=None)
    if damaged and (not found or damaged[0] > found.name):
        raise damaged[1]
    if found:
        return found  # of equals the first: the file
    if file or groups:
        raise UserError(f"manifest {path}: parts are missing or of different builds; build it again")
    raise UserError(f"manifest {path}: no such file or folder of parts")


def _newest_parts(groups: Mapping[str, list[str]]) -> tuple[Generation | None, tuple[str, UserError] | None]:
    """The newest parts that are whole; and what is damaged and newer, for damage is no trace of a killed writer."""
    for name, paths in sorted(groups.items(), reverse=True):
        try:
            one = read_generation(paths)
        except UserError as error:
            return None, (name, error)
        if one.whole:
            return one, None
    return None, None


def sweep(path: str, keep: Generation) -> None:
    """Removes what writers that were killed, and earlier generations, have left of this manifest."""
    for other in list(leftovers(path, keep)):
        store.remove(other)
    store.remove_empty_folder(manifest_stem(path))


def leftovers(path: str, keep: Generation) -> Iterator[str]:
    """Files of this manifest that are not of the generation to keep, and not in the making."""
    kept = {*keep.paths, rejected_of(path, keep.footers)}
    parts = [part for part in store.list_files(manifest_stem(path), SUFFIX) if part_of(part)]
    for other in [path, *parts, *rejected_lists(path), old_rejected_path(path)]:
        if other not in kept and store.exists(other):
            yield other
    yield from strays(path)
    yield from strays(old_rejected_path(path))


def rejected_of(path: str, footers: list[dict[str, Any]]) -> str:
    """Where the list of what did not get in stands, as the footer of the last part says."""
    named = footers[-1].get("rejected")
    name = named.get("path") if isinstance(named, dict) else None
    if isinstance(name, str) and name.startswith(f"{REJECTED}/") and ".." not in name.split("/"):
        return beside(path, name)  # and nowhere else, whatever a footer says
    return old_rejected_path(path)


def read_generation(paths: list[str]) -> Generation:
    """The generation that these files are."""
    read = [_told(path) for path in paths]
    name = read[-1][0].get("generation")
    footers, rows = [read[0][0], *(_sharing(footer, read[0][0]) for footer, _ in read[1:])], [rows for _, rows in read]
    return Generation(name if isinstance(name, str) else "", paths, footers, rows)


def _sharing(footer: dict[str, Any], first: dict[str, Any]) -> dict[str, Any]:
    """A part's footer; what it says like the first part's (nearly all) is in memory once, however many parts."""
    return {name: first[name] if first.get(name) == value else value for name, value in footer.items()}


def _told(path: str) -> tuple[dict[str, Any], int]:
    """A file's footer and number of rows; the rest of its metadata is large, and not kept."""
    try:
        with store.open_input(path) as file, open_parquet(file) as parquet:
            return footer_of(parquet.metadata), parquet.metadata.num_rows
    except StoreUnavailable:
        raise
    except (pa.ArrowException, OSError) as error:
        if store.vanished(error):
            raise FileNotFoundError(path) from error
        raise UserError(f"manifest {path}: not a readable Parquet file: {error}") from error


def footer_of(metadata: pq.FileMetaData) -> dict[str, Any]:
    """Our footer in a Parquet file's; empty where another program wrote the file."""
    try:
        footer = json.loads((metadata.metadata or {})[FOOTER])
    except (KeyError, ValueError, RecursionError):
        return {}
    return footer if isinstance(footer, dict) else {}


def _made(footer: dict[str, Any]) -> tuple[str, ...]:
    return tuple(str(footer.get(name)) for name in ("generation", "run_id", "created"))
