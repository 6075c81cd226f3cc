"""A Prefect server of our own for one command, where none is configured.

Prefect would start one itself, but its server outlives a killed command, prints tracebacks when it is stopped, and
starts only once the flow does. This one dies with the command, writes to a log file, and boots while the models load.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

logger = logging.getLogger(__name__)

STARTUP_SECONDS = 120
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class LocalServer:
    """A Prefect API on a free port of the loopback interface, with Prefect's usual database and no dashboard."""

    def __init__(self, log: Path) -> None:
        """Starts booting; returns at once.

        Args:
            log: File that takes what the server prints.
        """
        self.log = log
        self.url = f"http://127.0.0.1:{free_port()}/api"
        log.parent.mkdir(parents=True, exist_ok=True)
        port = self.url.rsplit(":", 1)[1].removesuffix("/api")
        command = [sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app"]
        options = ["--host", "127.0.0.1", "--port", port, "--log-level", "error", "--lifespan", "on"]
        quiet = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                command + options,
                env={**os.environ, **quiet, "OMP_NUM_THREADS": "1"},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,  # Ctrl-C is for the command; it stops the server when it is done with it
                preexec_fn=_die_with_parent if _libc else None,
            )

    def wait(self) -> None:
        """Waits until the server answers.

        Raises:
            RuntimeError: It ended or stayed silent; the message names the log file.
        """
        deadline = time.monotonic() + STARTUP_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError(f"Prefect's local server ended at once; see {self.log}")
            if answers(self.url):
                return
            time.sleep(0.1)
        raise RuntimeError(f"Prefect's local server did not answer within {STARTUP_SECONDS} s; see {self.log}")

    def stop(self) -> None:
        """Stops the server; done twice, it stays stopped."""
        self._process.terminate()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def answers(url: str) -> bool:
    """Whether a Prefect API answers under ``url`` (the one that ends in ``/api``)."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as response:
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
