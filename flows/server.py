"""A Prefect server of our own for one command, where none is configured.

Prefect would start one itself, but its server outlives a killed command, prints tracebacks when it is stopped, and
starts only once the flow does. This one dies with the command, writes to a log file, and boots while the models load.

Its database is its own, in a temporary folder that goes with it: commands that start together would else migrate one
SQLite file at the same time, and fail. Migrating an empty database takes longer than all the rest of the start, so the
first server that is up leaves a copy beside its log for the next ones to begin with.
"""

from __future__ import annotations

import ctypes
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
    """A Prefect API on a free port of the loopback interface, with a database of its own and no dashboard."""

    def __init__(self, log: Path) -> None:
        """Starts booting; returns at once.

        Args:
            log: File that takes what the server prints; copies of an empty database are kept beside it.
        """
        self.log = log
        port = free_port()
        self.url = f"http://127.0.0.1:{port}/api"
        log.parent.mkdir(parents=True, exist_ok=True)
        self._empty = log.with_name(f"empty-prefect-{version('prefect')}.db")
        self._folder = Path(tempfile.mkdtemp(prefix="spotdiff-server-"))
        if self._empty.exists():
            shutil.copyfile(self._empty, self._folder / DATABASE)
        settings = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
        if not any(os.environ.get(name) for name in _OWN_DATABASE):
            settings[_OWN_DATABASE[0]] = f"sqlite+aiosqlite:///{self._folder / DATABASE}"
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(port), str(self._folder)],
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

    def wait(self) -> None:
        """Waits until the server answers.

        Raises:
            ServerError: It ended or stayed silent; the message names the log file.
        """
        deadline = time.monotonic() + STARTUP_SECONDS
        while time.monotonic() < deadline:
            if not self.alive:
                raise ServerError(f"Prefect's local server ended at once; see {self.log}")
            if answers(self.url):
                self._keep_empty_database()
                return
            time.sleep(0.1)
        raise ServerError(f"Prefect's local server did not answer within {STARTUP_SECONDS} s; see {self.log}")

    def stop(self) -> None:
        """Stops the server; done twice, it stays stopped."""
        self._process.terminate()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)  # a server that was killed could not do it

    def _keep_empty_database(self) -> None:
        """Nothing has been asked of the server yet, so its database is empty but for what Prefect puts there."""
        if self._empty.exists() or not (self._folder / DATABASE).exists():
            return
        copy = self._folder / self._empty.name
        with suppress(OSError, sqlite3.Error):  # the next server migrates once more
            with (
                closing(sqlite3.connect(self._folder / DATABASE)) as database,
                closing(sqlite3.connect(copy)) as target,
            ):
                database.backup(target)
            beside = self._empty.with_name(f".{self._folder.name}.db")
            shutil.copyfile(copy, beside)
            beside.replace(self._empty)


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


def serve(port: int, folder: Path) -> None:
    """The server's process; ``folder`` is removed at its end.

    The signals that stop it go through uvicorn, which raises them again when it has shut down.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        import uvicorn

        uvicorn.run(
            "prefect.server.api.server:create_app",
            factory=True,
            host="127.0.0.1",
            port=port,
            log_level="error",
            lifespan="on",
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    serve(int(sys.argv[1]), Path(sys.argv[2]))
