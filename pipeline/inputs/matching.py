"""Which entry of a pose file speaks of which source: tools write names in many ways, and none may be guessed at.

A name is looked for as it is, then written plainly (slashes, no percent signs, one Unicode form), then whatever its
case, then without what an upload put before it. Folders must agree as far as both sides have them; only the folders
that all names of the pose file share may be missing on the other side. Where two fit equally well, none is taken.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from urllib.parse import unquote

from pipeline.config import UserError
from pipeline.inputs.files import warn_once
from pipeline.inputs.pose_file import PoseFile

Way = Callable[[str], str]
_ADDRESS = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+://[^/]*/|^[A-Za-z]:/")
_UPLOAD = re.compile(r"^[0-9a-f]{8}-(?=.)")


def match(poses: PoseFile, sources: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The entry of each source that has one, by the source's path.

    Args:
        poses: The pose file.
        sources: Of each source its path, as the user knows it, and its location.

    Raises:
        UserError: No source has an entry.
    """
    found: dict[str, str] = {}
    unclear: dict[str, str] = {}  # by path, the name that may be meant
    names, free = sorted(poses.entries), list(sources)
    shared = _shared_folders(names)
    for way in (str, plain, folded, uploaded):
        for fits in (_equal,) if way is str else (_equal, _ends_alike, functools.partial(_without_shared, shared)):
            taken = _one_to_one(dict(fits(names, free, way)), found, unclear)
            names = [name for name in names if name not in taken]
            free = [(path, where) for path, where in free if path not in found and path not in unclear]
    if not found and sources:
        raise UserError(_nothing_fits(poses, sources, unclear))
    missing = [path for path, _ in sources if path not in found]
    if missing:
        example = next((path for path in missing if path in unclear), missing[0])
        why = f" ({unclear[example]!r} may be another one)" if example in unclear else ""
        warn_once(
            f"poses: {poses.path} has no entry for {len(missing)} of {len(sources)} sources, such as {example!r}{why}"
        )
    return found


def plain(name: str) -> str:
    """With slashes, without percent signs and server, in Unicode's composed form."""
    if "://" in name or name.startswith("/data/"):  # the latter: Label Studio's own addresses
        name = name.rsplit("?d=", 1)[-1].split("?", 1)[0]
    name = unicodedata.normalize("NFC", unquote(name.replace("\\", "/")))
    return "/".join(part for part in _ADDRESS.sub("", name).split("/") if part not in ("", "."))


def folded(name: str) -> str:
    """Plain, and without regard to case."""
    return unicodedata.normalize("NFC", plain(name).casefold())


def uploaded(name: str) -> str:
    """Folded, without the eight digits that Label Studio puts before a name, and with its underscores for blanks."""
    *folders, bare = folded(name).split("/")
    return "/".join([*folders, re.sub(r"[^-\w.]", "", _UPLOAD.sub("", bare).strip().replace(" ", "_"))])


Fits = Iterator[tuple[str, list[str]]]
"""By a source's path the names that fit it equally well."""


def _equal(names: list[str], sources: list[tuple[str, str]], way: Way) -> Fits:
    index = _index(names, way)
    for path, _ in sources:
        if way(path) in index:
            yield path, index[way(path)]


def _ends_alike(names: list[str], sources: list[tuple[str, str]], way: Way) -> Fits:
    """The file lies where the name says, as far as the name says; else the name lies where the path says."""
    index = _index(names, way)
    endings = defaultdict(list)
    for name in names:
        for ending in _endings(way(name)):
            if "/" in ending:
                endings[ending].append(name)
    for path, location in sources:
        known = next((index[ending] for ending in _endings(way(location)) if ending in index), None)
        known = known or endings.get(way(path))
        if known:
            yield path, known


def _without_shared(shared: int, names: list[str], sources: list[tuple[str, str]], way: Way) -> Fits:
    """As ``_equal``, without the ``shared`` folders that all names begin with."""
    index = _index(names, lambda name: "/".join(way(name).split("/")[shared:]))
    for path, _ in sources:
        if way(path) in index:
            yield path, index[way(path)]


def _shared_folders(names: list[str]) -> int:
    """How many folders all names begin with."""
    folders = [plain(name).split("/")[:-1] for name in names] or [[]]
    pairs = zip(min(folders), max(folders), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _index(names: list[str], way: Way) -> dict[str, list[str]]:
    index = defaultdict(list)
    for name in names:
        index[way(name)].append(name)
    return index


def _endings(path: str) -> Iterator[str]:
    """A path without its first folders, longest first."""
    parts = path.split("/")
    return ("/".join(parts[at:]) for at in range(len(parts)))


def _one_to_one(fits: dict[str, list[str]], found: dict[str, str], unclear: dict[str, str]) -> set[str]:
    """Takes what is clear, one name for one source; gives the names that are out of play, unclear ones too."""
    claims = defaultdict(list)
    for path, names in fits.items():
        for name in names:
            claims[name].append(path)
    for path, names in fits.items():
        if len(names) == 1 and len(claims[names[0]]) == 1:
            found[path] = names[0]
        else:
            unclear[path] = names[0]
    return set(claims)


def _nothing_fits(poses: PoseFile, sources: Sequence[tuple[str, str]], unclear: dict[str, str]) -> str:
    if unclear:
        path, name = next(iter(unclear.items()))
        return (
            f"poses: {poses.path}: not clear which sources it speaks of: {name!r} may be {path!r} or another one; "
            "let file_name say the folder"
        )
    said = f"it names e.g. {next(iter(poses.entries))!r}" if poses.entries else "it names none"
    return f"poses: {poses.path} has no entry for any source: {said}, the sources are e.g. {sources[0][0]!r}"
