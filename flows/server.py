"""A Prefect server of our own for one command, where none is configured.

Prefect would start one itself, but its server outlives a killed command, prints tracebacks when it is stopped, and
starts only once the flow does. This one dies with the command, writes to a log file, and boots while the models load.

Its database is its own, in a temporary folder that goes with it: commands that start together would else migrate one
SQLite file at the same time, and fail. Migrating an empty database takes longer than all the rest of the start, so the
first server does it once for all, and leaves a copy beside its log.
"""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import logging
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from importlib.metadata import version
from pathlib import Path

logger = logging.getLogger(__name__)

STARTUP_SECONDS = 240
DATABASE = "prefect.db"
_OWN_DATABASE = ("PREFECT_API_DATABASE_CONNECTION_URL", "PREFECT_SERVER_DATABASE_CONNECTION_URL")
_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class ServerError(RuntimeError):
    """A server of our own did not start; the message names its log."""


class LocalServer:
    """A Prefect API on a free port of the loopback interface, with a database of its own and no dashboard.

    Attributes:
        log: File that takes what it prints.
        url: Of the API.
        folder: Where its database lies, as long as it runs.
    """

    def __init__(self, log: Path) -> None:
        """Starts booting; returns at once.

        Args:
            log: File that takes what the server prints; copies of an empty database are kept beside it.
        """
        self.log = log
        port = free_port()
        self.url = f"http://127.0.0.1:{port}/api"
        log.parent.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix="spotdiff-server-"))
        command = [sys.executable, "-m", __name__, str(port), str(self.folder)]
        settings = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
        if not any(os.environ.get(name) for name in _OWN_DATABASE):
            settings[_OWN_DATABASE[0]] = f"sqlite+aiosqlite:///{self.folder / DATABASE}"
            command.append(str(log.with_name(f"empty-prefect-{version('prefect')}.db")))
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, **settings, "OMP_NUM_THREADS": "1"},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,  # Ctrl-C is for the command; it stops the server when it is done with it
                preexec_fn=_die_with_parent if _libc else None,
            )

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def wait(self, seconds: float = STARTUP_SECONDS) -> None:
        """Waits until the server answers.

        Raises:
            ServerError: It ended or stayed silent; the message names the log file.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not self.alive:
                raise ServerError(f"Prefect's local server ended at once; see {self.log}")
            if answers(self.url):
                return
            time.sleep(0.1)
        raise ServerError(f"Prefect's local server did not answer within {seconds:g} s; see {self.log}")

    def stop(self) -> None:
        """Stops the server; done twice, it stays stopped."""
        self._process.terminate()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)  # a server that was killed could not do it


def answers(url: str) -> bool:
    """Whether a Prefect API answers under ``url`` (the one that ends in ``/api``), asked without any proxy."""
    try:
        with _NO_PROXY.open(f"{url}/health", timeout=5) as response:
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError, ValueError):
        return False


def reachable(url: str) -> bool:
    """Whether anything answers HTTP under an API's URL, be it with a refusal."""
    try:
        urllib.request.urlopen(f"{url}/health", timeout=10).close()
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False
    return True


def free_port() -> int:
    """A TCP port of the loopback interface that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _die_with_parent() -> None:
    """Runs in the child: asks Linux for SIGTERM when the parent is gone, however it went."""
    assert _libc is not None
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


@contextmanager
def running_server(log: Path) -> Iterator[LocalServer]:
    """A booting server that is stopped at the end of the block."""
    server = LocalServer(log)
    try:
        yield server
    finally:
        server.stop()


def serve(port: int, folder: Path, empty: Path | None = None) -> None:
    """The server's process.

    Args:
        port: Of the loopback interface.
        folder: Where the database of its own lies; removed at the end.
        empty: Where a migrated, empty database is kept; None: the user has configured another database.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn shuts down first, then raises the signal again
    try:
        if empty:
            with suppress(OSError, sqlite3.Error):  # then the server migrates its database itself
                _begin_with(empty, folder / DATABASE)
        import uvicorn

        application = "prefect.server.api.server:create_app"
        uvicorn.run(application, factory=True, host="127.0.0.1", port=port, log_level="error", lifespan="on")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _begin_with(empty: Path, database: Path) -> None:
    """Puts a migrated database in place; of servers that start together, the first makes it and the others wait."""
    with empty.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not empty.exists():
            from prefect.server.database import provide_database_interface

            asyncio.run(provide_database_interface().create_db())
            copy = empty.with_suffix(".tmp")
            copy.unlink(missing_ok=True)  # of one that was killed
            with closing(sqlite3.connect(database)) as made, closing(sqlite3.connect(copy)) as target:
                made.backup(target)
            copy.replace(empty)
            return
    shutil.copyfile(empty, database)


if __name__ == "__main__":
    serve(int(sys.argv[1]), *map(Path, sys.argv[2:]))
