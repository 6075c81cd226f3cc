"""The folder (or URL) that an export writes to: every file whole, checksummed, and known when the export is resumed.

What is done is noted in ``.spotdiff-export/``, a small file a unit of work, so that a killed export goes on where it
was; a noted file that is not there any more, or whose bytes have changed, is written again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

from pipeline import ids, store
from pipeline.config import UserError

NOTES = ".spotdiff-export"
SUMS = "SHA256SUMS"


class CountedFile:
    """A file that is written from its start to its end, its sha256 known at the end."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._sha256, self._size = file, hashlib.sha256(), 0
        self.closed = False

    def write(self, data: bytes) -> int:
        self._file.write(data)
        self._sha256.update(data)
        self._size += len(memoryview(data).cast("B"))
        return len(data)

    def tell(self) -> int:
        return self._size

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        """The file itself is closed by who opened it."""

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    @property
    def proof(self) -> tuple[int, str]:
        """Size and sha256."""
        return self._size, self._sha256.hexdigest()


class Unit:
    """Files that are written together."""

    def __init__(self, root: str) -> None:
        self._root = root
        self.files: dict[str, tuple[int, str]] = {}

    @contextmanager
    def open(self, path: str) -> Iterator[CountedFile]:
        """A file to write, by its path below the destination."""
        with store.atomic(store.join(self._root, path)) as file:
            counted = CountedFile(file)
            yield counted
        self.files[path] = counted.proof

    def put(self, path: str, data: bytes) -> None:
        """Writes one of many small files: plainly, for the unit's note proves it later, and syncs cost the most."""
        fs, place = store.filesystem(store.join(self._root, path))
        if store.is_local(self._root):
            fs.makedirs(place.rpartition("/")[0], exist_ok=True)
        with store.naming(place), fs.open(place, "wb") as file:
            file.write(data)
        self.files[path] = len(data), hashlib.sha256(data).hexdigest()


class Destination:
    """Where an export goes.

    Attributes:
        files: Size and sha256 of all that belongs to the export, by path.
    """

    def __init__(self, root: str, key: Mapping[str, Any]) -> None:
        """Opens a folder that is empty, or holds a part of the very same export.

        Args:
            root: A folder or URL.
            key: All that the export's files depend on.

        Raises:
            UserError: Something else is there.
        """
        self.root = root.rstrip("/")
        self.files: dict[str, tuple[int, str]] = {}
        note = store.join(self.root, NOTES, "export.json")
        said = json.dumps({**key, "key": ids.digest(dict(key))}, sort_keys=True, indent=1).encode()
        if not store.exists(note):
            if _holds_something(self.root):
                raise UserError(f"{root}: is not empty, and no export of ours; name an empty folder")
            store.write_bytes(note, said)
        elif store.read_bytes(note) != said:
            raise UserError(
                f"{root}: holds an export of other rows or options; name another folder, or remove that one"
            )
        store.remove_stray(self.root)

    def done(self, name: str) -> bool:
        """Whether a unit of work was finished by an earlier call, and its files still are as they were written."""
        try:
            noted = json.loads(store.read_bytes(self._note(name)))
        except (FileNotFoundError, ValueError):
            return False
        files = {path: (size, sha256) for path, (size, sha256) in noted.items()}
        if not all(_is(store.join(self.root, path), proof) for path, proof in files.items()):
            return False
        self.files |= files
        return True

    def write(self, name: str, work: Callable[[Unit], None]) -> None:
        """Does a unit of work and notes it."""
        unit = Unit(self.root)
        work(unit)
        store.write_bytes(self._note(name), json.dumps(unit.files).encode())
        self.files |= unit.files

    def finish(self) -> None:
        """Writes the checksums of all files, in the form that ``sha256sum -c`` reads."""
        lines = "".join(f"{sha256}  {path}\n" for path, (_, sha256) in sorted(self.files.items()))
        store.write_bytes(store.join(self.root, SUMS), lines.encode())

    def _note(self, name: str) -> str:
        return store.join(self.root, NOTES, f"{name.replace('/', '-')}.done")


def _holds_something(root: str) -> bool:
    fs, path = store.filesystem(root)
    try:
        return bool(fs.ls(path, detail=False))
    except FileNotFoundError:
        return False


def proof_of(url: str) -> tuple[int, str]:
    """Size and sha256 of a file."""
    with store.open_input(url) as file:
        sha256, size = hashlib.sha256(), 0
        while data := file.read(1 << 20):
            sha256.update(data)
            size += len(data)
    return size, sha256.hexdigest()


def _is(url: str, proof: tuple[int, str]) -> bool:
    try:
        return proof_of(url) == proof
    except FileNotFoundError:
        return False
