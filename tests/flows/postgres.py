"""PostgreSQL of the machine's packages in a temporary folder, and a Prefect server on it that can be restarted."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from commands import BIN, ROOT, TOYS

from flows.server import answers, free_port

AUTH = "admin:not-a-secret"


def programs() -> Path | None:
    """The folder of PostgreSQL's programs; None: it is not installed."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    return max((path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")), default=None)


@contextmanager
def postgres(bin_: Path) -> Iterator[str]:
    """A server of its own on loopback (as nobody where root would start it); gives the URL of an empty database."""
    folder = Path(tempfile.mkdtemp(prefix="spotdiff-postgres-"))
    folder.chmod(0o755)
    who: dict[str, Any] = {}
    if os.getuid() == 0:
        shutil.chown(folder, "nobody", "nogroup")
        who = {"user": "nobody", "group": "nogroup", "extra_groups": []}
    port, log = free_port(), (folder.parent / f"{folder.name}.log").open("wb")
    made: dict[str, Any] = {"cwd": folder, "stdout": log, "stderr": log, **who}
    subprocess.run([bin_ / "initdb", "-D", folder / "data", "-U", "prefect", "--auth=trust"], check=True, **made)
    options = ["-h", "127.0.0.1", "-p", str(port), "-k", str(folder)]
    running = subprocess.Popen([bin_ / "postgres", "-D", folder / "data", *options], **made)
    try:
        ready = [bin_ / "pg_isready", "-h", "127.0.0.1", "-p", str(port)]
        until(lambda: subprocess.run(ready, capture_output=True, check=False).returncode == 0, 60, "PostgreSQL")
        create = [bin_ / "createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "prefect", "prefect"]
        subprocess.run(create, check=True, capture_output=True)
        yield f"postgresql+asyncpg://prefect@127.0.0.1:{port}/prefect"
    finally:
        running.terminate()
        running.wait(60)
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


class Cluster:
    """A Prefect server with authentication on a database, and whatever is started against it.

    Attributes:
        environment: Of all its processes and clients.
    """

    def __init__(self, database: str, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}/api"
        self.environment = {
            **os.environ,
            "PREFECT_HOME": str(folder / "home"),
            "PREFECT_API_URL": self.url,
            "PREFECT_API_AUTH_STRING": AUTH,
            "PREFECT_SERVER_API_AUTH_STRING": AUTH,
            "PREFECT_API_DATABASE_CONNECTION_URL": database,
            "PREFECT_SERVER_UI_ENABLED": "false",
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(TOYS), *filter(None, [os.environ.get("PYTHONPATH")])]),
        }
        self._processes: list[subprocess.Popen[bytes]] = []
        self._server = self._start_server()

    def _start_server(self) -> subprocess.Popen[bytes]:
        started = self._start("server", "server", "start", "--host", "127.0.0.1", "--port", str(self.port))
        until(lambda: answers(self.url), 180, "Prefect's server")
        return started

    def restart_server(self, pause: float = 2.0) -> None:
        """As a machine does that is rebooted."""
        self._server.kill()
        self._server.wait()
        for child in _listeners(self.port):
            child.kill()
        time.sleep(pause)
        self._server = self._start_server()

    def worker(self, name: str) -> subprocess.Popen[bytes]:
        return self._start(name, "worker", "start", "--pool", "spotdiff", "--type", "process", "--name", name)

    def _start(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        log = (self.folder / f"{name}.log").open("ab")
        command = [str(BIN / "prefect"), *arguments]
        started = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=log, stderr=log)
        self._processes.append(started)
        return started

    def run(self, *command: str, timeout: float = 300) -> str:
        """A command against this server; gives what it printed."""
        program, *arguments = command
        path = sys.executable if program == "python" else str(BIN / program)
        done = subprocess.run(
            [path, *arguments], cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=timeout,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def state(self, run: str) -> tuple[str, str]:
        """A flow run's state: its type and message."""
        code = (
            "import sys; from uuid import UUID; from prefect.client.orchestration import get_client\n"
            "with get_client(sync_client=True) as client: state = client.read_flow_run(UUID(sys.argv[1])).state\n"
            "print(state.type.value + '\\t' + (state.message or ''))"
        )
        kind, _, message = self.run("python", "-c", code, run).strip().splitlines()[-1].partition("\t")
        return kind, message

    def stop(self) -> None:
        for process in reversed(self._processes):
            process.terminate()
        for process in self._processes:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _listeners(port: int) -> list[Any]:
    import psutil

    return [p for p in psutil.process_iter() if any(str(port) == part for part in _command(p))]


def _command(process: Any) -> list[str]:
    import psutil

    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def until(holds: Any, seconds: float, what: str) -> None:
    """Waits until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(0.2)
