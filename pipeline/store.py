"""Files on local disk or in an object store (``s3://`` and whatever else fsspec knows), written whole or not at all.

On disk a file is written under a temporary name in the same folder, synced, renamed, and the folder synced. The name
says which process of which machine writes it, so that :func:`remove_stray` can tell a killed writer's leftovers from
the files of one that is still at work, on shared file systems too: ``flock`` is not to be relied on there. Object
stores show a file only once it is complete, so there a plain put will do; :mod:`pipeline.object_store` sees to retries.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import fsspec
from fsspec.core import split_protocol
from fsspec.implementations.local import LocalFileSystem

from pipeline import hidden_names, object_store
from pipeline.errors import UserError

_LOCAL = LocalFileSystem()
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def filesystem(url: str) -> tuple[Any, str]:
    """The fsspec filesystem of a path or URL, and the path as that filesystem wants it.

    Raises:
        UserError: The URL's scheme is unknown or its package is not installed.
    """
    if is_local(url):  # not through fsspec's URL parsing, to which "::" in a file name is a chain of filesystems
        path = url.split("://", 1)[1] if "://" in url else url
        return _LOCAL, os.path.abspath(os.path.expanduser(path))
    protocol, _ = split_protocol(url)
    try:
        fs = object_store.s3() if protocol in ("s3", "s3a") else fsspec.filesystem(protocol)
    except (ImportError, ValueError) as error:
        raise UserError(f"{url}: {error}") from error
    return fs, str(fs._strip_protocol(url))


def is_local(url: str) -> bool:
    return split_protocol(url)[0] in (None, "file")


def join(folder: str, *names: str) -> str:
    """A path below a folder, for local paths and URLs alike."""
    return folder.rstrip("/") + "/" + "/".join(names)


def exists(url: str) -> bool:
    fs, path = filesystem(url)
    return bool(fs.exists(path))


def read_bytes(url: str) -> bytes:
    """A whole file.

    Raises:
        UserError: It is no regular file.
    """
    fs, path = filesystem(url)
    if not isinstance(fs, LocalFileSystem):
        return bytes(fs.cat_file(path))
    with open_input(url) as file:
        return file.read()


def open_input(url: str) -> IO[bytes]:
    """Opens for reading, seekable (Parquet reads footers and single columns).

    Raises:
        UserError: It is no regular file, but a FIFO, say, that would never end or never begin.
    """
    fs, path = filesystem(url)
    if not isinstance(fs, LocalFileSystem):
        return fs.open(path, "rb")
    file = open(path, "rb", opener=_at_once)  # noqa: SIM115  (the caller's to close)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise UserError(f"{url}: is no regular file; move it away")
    return file


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # without it, opening a FIFO waits for somebody to write to it


def vanished(error: BaseException) -> bool:
    """Whether what broke reading says that the file that was opened is gone, or another one by now.

    On local disk an open file stays what it was; in an object store each range that is read is asked for anew.
    """
    return isinstance(error, FileNotFoundError) or (isinstance(error, OSError) and error.errno == errno.EBUSY)  # s3fs's


def write_bytes(url: str, data: bytes) -> None:
    """Writes a whole file atomically."""
    with atomic(url) as file:
        file.write(data)


@contextmanager
def atomic(url: str) -> Iterator[IO[bytes]]:
    """A file to write to that appears under its name only when the block ends well; an old one is replaced."""
    fs, path = filesystem(url)
    if isinstance(fs, LocalFileSystem):
        with _atomic_local(Path(path)) as file:
            yield file
        return
    file = fs.open(path, "wb")
    try:
        yield file
    except BaseException:
        with suppress(Exception):
            file.discard()  # drops an unfinished multipart upload
        file.closed = True  # else it would be closed, and so put in place, when it is collected
        raise
    file.close()


@contextmanager
def _atomic_local(path: Path) -> Iterator[IO[bytes]]:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = hidden_names.temporary_name(path)
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        _name(error, path)
        raise
    sync_folder(path.parent)


@contextmanager
def naming(url: str) -> Iterator[None]:
    """Errors of the block that name no file are of this one, where it is on local disk."""
    try:
        yield
    except OSError as error:
        if is_local(url):
            _name(error, filesystem(url)[1])
        raise


def _name(error: BaseException, path: str | Path) -> None:
    if isinstance(error, OSError) and error.filename is None:
        error.filename = str(path)  # "no space left" is of no use without a place


def create(url: str, data: bytes) -> bool:
    """Writes a file that is not there yet, whole and at once; of several that try, one does.

    Their data must differ (say who writes): an answer that was lost is known from what is there then.

    Returns:
        Whether it was written; False: there is one.
    """
    fs, path = filesystem(url)
    if not isinstance(fs, LocalFileSystem):
        return _create_remote(fs, path, data)
    place = Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = hidden_names.temporary_name(place)
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, place)  # unlike opening exclusively, whole from the first moment, and on NFS, too
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _create_exclusively(path, data)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(place.parent)
    return True


def swap(url: str, old: bytes, new: bytes) -> bool:
    """Replaces a file's content only if it still is ``old``; of several that try, one does.

    Returns:
        Whether it was replaced.
    """
    fs, path = filesystem(url)
    if not isinstance(fs, LocalFileSystem):
        return _swap_remote(fs, path, old, new)
    place = Path(path)
    aside = hidden_names.temporary_name(place)
    try:
        os.rename(place, aside)  # of several that try, one gets it
    except FileNotFoundError:
        return False
    try:
        if aside.read_bytes() == old:
            return create(url, new)
        with suppress(OSError):  # it was changed since; unless there is another by now, it goes back
            os.link(aside, place)
        return False
    finally:
        aside.unlink(missing_ok=True)


def _create_exclusively(path: str, data: bytes) -> bool:
    try:
        with open(path, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        return False
    return True


def _create_remote(fs: Any, path: str, data: bytes) -> bool:
    try:
        fs.pipe_file(path, data, mode="create")  # a conditional put
    except OSError:  # s3fs has no error of its own for a condition that does not hold
        if fs.exists(path):
            return False
        raise
    return True


def _swap_remote(fs: Any, path: str, old: bytes, new: bytes) -> bool:
    try:
        tag = fs.info(path).get("ETag")
        if fs.cat_file(path) != old:
            return False
        if tag is None or not hasattr(fs, "call_s3"):  # no conditional put that we know of
            fs.pipe_file(path, new)
        else:
            bucket, key, _ = fs.split_path(path)
            fs.call_s3("put_object", Bucket=bucket, Key=key, Body=new, IfMatch=tag)
    except OSError:
        if fs.exists(path) and fs.cat_file(path) == old:
            raise
        return False
    return True


def sync_folder(folder: Path) -> None:
    """Makes renames inside a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def list_files(folder: str, suffix: str = "") -> list[str]:
    """URLs of the files directly in a folder, sorted, temporary ones left out; empty where there is no folder."""
    return list(stamps(folder, suffix))


def stamps(folder: str, suffix: str = "") -> dict[str, str]:
    """The files of :func:`list_files`, each with its :func:`stamp`, at the price of one listing."""
    fs, path = filesystem(folder)
    try:
        if isinstance(fs, LocalFileSystem):
            with os.scandir(path) as entries:
                names = [entry.name for entry in entries if _shown(entry, suffix)]
            found = {name: stamp for name in names if (stamp := _stamp_of(f"{path}/{name}"))}
        else:
            found = {
                name: _remote_stamp(entry)
                for entry in fs.ls(path, detail=True)
                if (name := entry["name"].rsplit("/", 1)[-1]).endswith(suffix) and entry["type"] == "file"
            }
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return {join(folder, name): found[name] for name in sorted(found)}


def size(url: str) -> int:
    """Bytes of a file."""
    fs, path = filesystem(url)
    return int(fs.info(path)["size"])


def stamp(url: str) -> str | None:
    """What changes whenever a file is written anew: size, time and place, or the object store's tag.

    Returns:
        The stamp; None: there is no such file, or it is no regular one.
    """
    fs, path = filesystem(url)
    if isinstance(fs, LocalFileSystem):
        return _stamp_of(path)
    try:
        return _remote_stamp(fs.info(path))
    except FileNotFoundError:
        return None


def _shown(entry: os.DirEntry[str], suffix: str) -> bool:
    return entry.name.endswith(suffix) and not entry.name.endswith(hidden_names.SUFFIX) and entry.is_file()


def _stamp_of(path: str) -> str | None:
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return f"{status.st_size}-{status.st_mtime_ns}-{status.st_ino}"


def _remote_stamp(entry: dict[str, Any]) -> str:
    return f"{entry.get('size')}-{entry.get('ETag') or entry.get('LastModified')}"


def remove(url: str) -> None:
    """Removes a file; one that is not there is no error."""
    fs, path = filesystem(url)
    with suppress(FileNotFoundError):
        fs.rm_file(path)


def remove_empty_folder(folder: str) -> None:
    """Removes a local folder if nothing is left in it; object stores have no folders to remove."""
    fs, path = filesystem(folder)
    if isinstance(fs, LocalFileSystem):
        with suppress(OSError):
            os.rmdir(path)


def remove_stray(folder: str) -> int:
    """Removes what killed writers left below a local folder; the files of live writers stay, on whichever machine.

    Returns:
        How many were removed.
    """
    if not is_local(folder):
        return 0
    removed = 0
    for path in Path(filesystem(folder)[1]).rglob(f".*{hidden_names.SUFFIX}"):
        with suppress(FileNotFoundError):
            if path.is_file() and hidden_names.is_stray(path.name, path.stat().st_mtime):
                path.unlink()
                removed += 1
    return removed
