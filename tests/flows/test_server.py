"""The server of our own: it answers, it stops, and it does not outlive its command."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows.server import LocalServer, answers, free_port, reachable

OWNER = """
import sys, time
from pathlib import Path
from flows.server import LocalServer
server = LocalServer(Path(sys.argv[1]))
server.wait()
print(server.url, flush=True)
time.sleep(600)
"""


def test_it_answers_until_it_is_stopped(server: str) -> None:
    assert answers(server)
    assert reachable(server)
    assert not answers(server.removesuffix("/api") + "/nowhere")
    assert reachable(server.removesuffix("/api") + "/nowhere")


def test_nobody_home() -> None:
    url = f"http://127.0.0.1:{free_port()}/api"
    assert not answers(url)
    assert not reachable(url)
    assert not reachable("nonsense")


def test_a_server_that_ends_at_once_says_where_to_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_DATABASE_CONNECTION_URL", "nonsense://")
    server = LocalServer(tmp_path / "log")
    with pytest.raises(RuntimeError, match="log"):
        server.wait()
    server.stop()
    assert (tmp_path / "log").read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent is gone")
def test_it_dies_with_a_killed_command(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OWNER, str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        url = owner.stdout.readline().strip()
        assert answers(url)
        owner.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while answers(url) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not answers(url)
