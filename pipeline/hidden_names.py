"""Names of files that are being written: hidden, and they say which process of which machine writes there.

So a killed writer's leftovers can be told from the files of one that is still at work, on shared file systems too.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import secrets
import time
from pathlib import Path

from pipeline import process

SUFFIX = ".spotdiff-tmp"
_WRITER = re.compile(r"\.([0-9a-f]{8})-(\d+)-(\d*)\.[0-9a-f]{8}" + re.escape(SUFFIX) + "$")
"""The end of a temporary name: the writer's machine, process and when that began."""
FOREIGN_SECONDS = 2 * 86400.0
"""A temporary file of another machine is stray when nobody has written to it for so long: a manifest takes hours."""


def temporary_name(path: Path) -> Path:
    """A hidden name beside ``path`` that says who writes there; :func:`is_stray` understands it."""
    return path.with_name(f"{_hidden(path.name)}{writer(os.getpid())}.{secrets.token_hex(4)}{SUFFIX}")


def is_temporary_of(hidden: str, name: str) -> bool:
    """Whether a file's name is one that :func:`temporary_name` gives beside a file called ``name``."""
    said = _WRITER.search(hidden)
    return said is not None and hidden[: said.start() + 1] == _hidden(name)


def _hidden(name: str) -> str:
    return f".{name[:120]}."


@functools.cache
def writer(pid: int) -> str:
    """How a name says that this process writes there."""
    return f"{machine()}-{pid}-{process.started(pid) or ''}"


@functools.cache
def machine() -> str:
    """How a name says that it is of this machine (or container: what matters is whose processes can be seen)."""
    return hashlib.sha256(process.space().encode()).hexdigest()[:8]


def is_stray(name: str, changed: float) -> bool:
    """Whether whoever wrote a temporary file can no longer go on with it.

    Args:
        name: Of the file, from :func:`temporary_name`.
        changed: When it was last written to, seconds since 1970.
    """
    said = _WRITER.search(name)
    if said and said[1] == machine():
        return process.started(int(said[2])) != said[3]
    return time.time() - changed > FOREIGN_SECONDS
