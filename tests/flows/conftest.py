"""What the tests of scheduling and command line share: one Prefect server and one worker on loopback."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import BIN, ROOT, TOYS, run_command

# before anything imports Prefect: no test may touch the user's settings or database
os.environ["PREFECT_HOME"] = tempfile.mkdtemp(prefix="spotdiff-prefect-")
for name in ("PREFECT_API_URL", "PREFECT_PROFILE"):
    os.environ.pop(name, None)
os.environ |= {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_CLI_PROMPT": "false",
    "PREFECT_LOGGING_TO_API_ENABLED": "false",
    "NO_COLOR": "1",
    "COLUMNS": "200",
}

sys.path.append(str(TOYS))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """API URL of a running server; this process and its children use it from now on."""
    from prefect.context import refresh_global_settings_context

    from flows.server import running_server

    with running_server(tmp_path_factory.mktemp("server") / "log") as running:
        running.wait()
        os.environ["PREFECT_API_URL"] = running.url
        refresh_global_settings_context()
        yield running.url
    del os.environ["PREFECT_API_URL"]
    refresh_global_settings_context()


@pytest.fixture(scope="session")
def worker(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[bytes]]:
    """A worker of the pool ``spotdiff`` with the deployments of ``prefect.yaml`` and of ``toy_flow.py``."""
    from prefect import flow

    log = tmp_path_factory.mktemp("worker") / "log"
    environment = {**os.environ, "PYTHONPATH": str(TOYS)}
    command = [str(BIN / "prefect"), "worker", "start", "--pool", "spotdiff", "--type", "process"]
    with log.open("wb") as sink:
        running = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=sink, stderr=sink)
    _wait_for_pool("spotdiff", log)
    deployed = run_command("spotdiff", "deploy")
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    toy: Any = flow.from_source(source=str(ROOT), entrypoint="tests/flows/toy_flow.py:toy_build")
    toy.deploy(name="toy-build", work_pool_name="spotdiff", print_next_steps=False)
    yield running
    running.terminate()
    try:
        running.wait(timeout=60)
    except subprocess.TimeoutExpired:  # it waits for a flow run that was left behind
        running.kill()
        running.wait()


def _wait_for_pool(name: str, log: Path, seconds: float = 90) -> None:
    """A worker makes its pool when it starts."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    deadline = time.monotonic() + seconds
    with get_client(sync_client=True) as client:
        while time.monotonic() < deadline:
            try:
                client.read_work_pool(name)
                return
            except ObjectNotFound:
                time.sleep(0.2)
    raise TimeoutError(log.read_text())
