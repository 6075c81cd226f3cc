"""One writer a manifest: a small file beside it says who builds it, and everybody else is refused at once.

The file ``.<stem>.lock`` is created whole and exclusively, on a disk as in an object store, and removed at the end. A
killed build leaves it behind; the next one takes it over when its owner is dead: on the same machine when the process
is gone, on another when the owner has not refreshed it for some minutes.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pipeline import process, store
from pipeline.config import UserError
from pipeline.runner.every import every

logger = logging.getLogger(__name__)
BEAT_SECONDS = 20.0
"""How often an owner refreshes its lock."""
DEAD_SECONDS = 180.0
"""How long an owner on another machine may be silent; clocks must agree to less than that."""


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Who holds a lock.

    Attributes:
        host: The machine's name.
        space: Where process ids mean the same: this boot of this machine, and the container on it.
        pid, started: The process and when it began, in the kernel's clock ticks; ids are given again, the pair is not.
        since, seen: When the lock was taken and last refreshed, seconds since 1970.
        token: Tells this lock from any other.
    """

    host: str
    space: str
    pid: int
    started: str
    since: float
    seen: float
    token: str

    @classmethod
    def here(cls) -> Owner:
        """This process, now."""
        now = time.time()
        return cls(
            host=socket.gethostname(),
            space=process.space(),
            pid=os.getpid(),
            started=process.started(os.getpid()) or "",
            since=now,
            seen=now,
            token=secrets.token_hex(8),
        )

    def dead(self) -> bool:
        """Whether the owner can no longer write."""
        if self.space == process.space():
            return process.started(self.pid) != self.started
        return time.time() - self.seen > DEAD_SECONDS

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {time.strftime('%F %T', time.localtime(self.since))}"


class Lock:
    """A manifest's lock while this process holds it."""

    def __init__(self, path: str, owner: Owner) -> None:
        self._path, self._owner = path, owner
        self._said = _text(owner)

    def check(self) -> None:
        """Makes sure that the lock is still ours, before something that must not be done twice.

        Raises:
            UserError: Another took it over, after this process had not been heard of for long.
        """
        now = _holder(self._path)
        if now is None or now.token != self._owner.token:
            raise UserError(f"{self._path} was taken over by {now or 'somebody'}: this build stops")

    def release(self) -> None:
        now = _holder(self._path)
        if now and now.token == self._owner.token:
            store.remove(self._path)

    def beat(self) -> None:
        """Says that the owner lives; to be done every :data:`BEAT_SECONDS`."""
        now = _text(replace(self._owner, seen=time.time()))
        try:
            if store.is_local(self._path):  # where a swap takes the file away for a moment, in which others see none
                self.check()
                store.write_bytes(self._path, now)
            elif not store.swap(self._path, self._said, now):
                self.check()
                raise UserError(f"{self._path} was changed by another")
            self._said = now
        except (OSError, UserError) as error:
            logger.warning("the lock was not refreshed: %s", error)


@contextmanager
def only_writer(manifest: str) -> Iterator[Lock]:
    """Holds a manifest's lock as long as the block runs.

    Raises:
        UserError: Another process holds it, or the folder cannot be written to.
    """
    path = lock_path(manifest)
    me = Owner.here()
    try:
        _take(path, me)
    except OSError as error:
        raise UserError(f"{manifest}: its folder cannot be written to: {error.strerror or error}") from error
    lock = Lock(path, me)
    try:
        with every(BEAT_SECONDS, lock.beat, "lock"):
            yield lock
    finally:
        lock.release()


def refuse_second(manifest: str) -> None:
    """Says at once what :func:`only_writer` would say later, before anything slow is started for nothing.

    Raises:
        UserError: Another process holds the manifest's lock.
    """
    path = lock_path(manifest)
    _refuse(path, _holder(path))


def lock_path(manifest: str) -> str:
    """Where a manifest's lock lies."""
    folder, _, name = manifest.rpartition("/")
    hidden = f".{Path(name).stem}.lock"
    return f"{folder}/{hidden}" if folder else hidden


def _take(path: str, me: Owner) -> None:
    if store.create(path, _text(me)):
        return
    data = _bytes(path)
    owner = _owner(data)
    _refuse(path, owner)
    if data is None or not store.swap(path, data, _text(me)):  # gone, or somebody was quicker
        if not store.create(path, _text(me)):
            raise UserError(f"another build has just begun to write this manifest: {_holder(path) or path}")
    elif owner:
        logger.warning("%s: its owner is dead (%s); taken over", path, owner)
    else:
        logger.warning("%s: says nothing of its owner; taken over", path)


def _refuse(path: str, owner: Owner | None) -> None:
    if owner and not owner.dead():
        raise UserError(f"another build writes this manifest: {owner} ({path})")


def _text(owner: Owner) -> bytes:
    return json.dumps(asdict(owner)).encode()


def _bytes(path: str) -> bytes | None:
    try:
        return store.read_bytes(path)
    except FileNotFoundError:
        return None


def _holder(path: str) -> Owner | None:
    return _owner(_bytes(path))


def _owner(data: bytes | None) -> Owner | None:
    try:
        told: dict[str, Any] = json.loads(data or b"")
        return Owner(**told)
    except (ValueError, TypeError, RecursionError):
        return None
