"""Opens what users name: regular files only, for a FIFO would wait for ever and a device never ends."""

from __future__ import annotations

import codecs
import errno
import functools
import logging
import os
import stat
from typing import IO

from pipeline import ids, store
from pipeline.config import UserError

logger = logging.getLogger(__name__)

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class NotAFile(OSError):
    """Something is there, but no regular file; the message says what it is."""


def open_file(url: str) -> IO[bytes]:
    """Opens a regular file for reading, local or in an object store.

    Raises:
        NotAFile: A folder, FIFO, socket or device, or a link to nothing.
        OSError: Missing, or not to be read.
    """
    if not store.is_local(url):
        return store.open_input(url)
    path = store.filesystem(url)[1]
    try:
        # without O_NONBLOCK opening a FIFO would wait for somebody to write to it
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError as error:  # a NUL in the name
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from error
    except OSError as error:
        raise _named(path, error) from error
    if not stat.S_ISREG(mode := os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotAFile(f"{_KINDS.get(stat.S_IFMT(mode), 'something else')}, not a file")
    return open(descriptor, "rb")


def read_file(url: str) -> bytes:
    """The whole of a regular file; errors as in :func:`open_file`."""
    with open_file(url) as file:
        return file.read()


def read_text(url: str, what: str) -> str:
    """A text file in UTF-8 (a byte order mark is dropped) or in UTF-16 with its mark.

    Args:
        what: What the file is to the user, for the message.

    Raises:
        UserError: Not a file, not to be read, or of another encoding.
    """
    try:
        data = read_file(url)
        return data.decode("utf-16" if data.startswith(_MARKS) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{what}: {url}: not UTF-8 (byte {error.start}); save it as UTF-8") from error
    except OSError as error:
        raise UserError(f"{what}: {url}: {error.strerror or error}") from error


def fingerprint(url: str) -> str:
    """16 hex that change when the file does: its size and time, or the object store's tag; the same for all missing."""
    fs, path = store.filesystem(url)
    try:
        info = fs.info(path) if fs.isfile(path) else {}
    except (OSError, ValueError):
        info = {}
    return fingerprint_of(info)


def fingerprint_of(info: dict[str, object]) -> str:
    """The same from what a filesystem says of a file."""
    changes = [str(info.get(name, "")) for name in ("size", "ETag", "mtime")] if info else ["missing"]
    return ids.digest(changes)[:16]


def is_file(url: str) -> bool:
    """Whether a regular file is there; looks, does not open."""
    fs, path = store.filesystem(url)
    try:
        return bool(fs.isfile(path))
    except (OSError, ValueError):
        return False


def kind_of(path: str) -> str | None:
    """What a local path is if it is there and neither file nor folder, e.g. ``a FIFO``; else None."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return "a link to nothing" if os.path.islink(path) else None
    return None if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else _KINDS.get(stat.S_IFMT(mode), "something else")


@functools.lru_cache(maxsize=4096)
def warn_once(text: str) -> None:
    """A warning that a process gives once, however often an input is looked at."""
    logger.warning("%s", text)


def _named(path: str, error: OSError) -> OSError:
    """An error that opening gave, told as what is there."""
    if error.errno == errno.ENXIO:
        return NotAFile("a socket, not a file")
    if error.errno == errno.ELOOP:
        return NotAFile("a link that leads in a circle")
    if error.errno == errno.ENOENT and os.path.islink(path):
        return NotAFile("a link to nothing")
    return error
