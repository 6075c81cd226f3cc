"""What a user can cause or mend, in one line: from a library's or the system's exception to a message with a remedy."""

from __future__ import annotations

import errno
import tempfile

from pipeline.object_store import StoreUnavailable

_STORE = "check AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use a local path"
_REMEDIES = {
    errno.ENOSPC: "free some space, or name a folder on another disk",
    errno.EDQUOT: "free some space, or name a folder on another disk",
    errno.EFBIG: "a limit stands against it (ulimit -f), or the file system's own",
    errno.EACCES: "see to its permissions, or name another place",
    errno.EPERM: "see to its permissions, or name another place",
    errno.EROFS: "name a place that can be written to",
    errno.ENOTDIR: "a file is where a folder belongs; move it away, or name another place",
    errno.EEXIST: "a file is where a folder belongs; move it away, or name another place",
    errno.EISDIR: "a folder is where a file belongs; move it away, or name another place",
    errno.ENOENT: "see that it is there and its disk is mounted",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "its links lead back to themselves; mend them",
    errno.EMFILE: "allow more open files (ulimit -n), or use fewer --workers",
    errno.ENFILE: "allow more open files, or use fewer --workers",
    errno.EIO: "the disk does not work as it should; check it, or name a folder on another one",
    errno.ESTALE: "the network file system lost it; mount it again",
}


def told(error: BaseException) -> str | None:
    """The message for an exception; None for one that is a fault of ours and deserves its traceback."""
    if isinstance(error, StoreUnavailable):
        return f"object store: {error}; when it is back, the same command goes on from here"
    if _of_object_store(error) or _of_object_store(error.__cause__):
        return f"object store: {error}; {_STORE}"
    if not isinstance(error, OSError):
        return None
    if error.errno in _REMEDIES and error.filename is not None:
        return f"{error.filename}: {error.strerror}; {_REMEDIES[error.errno]}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):  # files with a name say it: this one has none
        return f"temporary folder {tempfile.gettempdir()}: {error.strerror}; free some space there, or set TMPDIR"
    if error.errno in (errno.EMFILE, errno.ENFILE, errno.EIO):
        return f"{error.strerror}; {_REMEDIES[error.errno]}"
    if "temporary directory" in str(error):
        return f"{error.strerror or error}; free some space there, or set TMPDIR"
    return None


def _of_object_store(error: BaseException | None) -> bool:
    """Whether botocore or aiohttp raised it: by name, so that neither need be installed."""
    return error is not None and type(error).__module__.partition(".")[0] in ("botocore", "aiobotocore", "aiohttp")
