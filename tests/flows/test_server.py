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


def test_it_leaves_an_empty_database_to_the_next_and_nothing_else(tmp_path: Path) -> None:
    log = tmp_path / "home" / "log"
    folders: list[Path] = []
    for _ in range(2):
        server = LocalServer(log)
        folders.append(server.folder)
        server.wait()
        assert server.folder.is_dir()
        server.stop()
        assert not server.folder.exists()
        (empty,) = log.parent.glob("empty-prefect-*.db")
        made = empty.stat().st_mtime_ns
    assert empty.stat().st_mtime_ns == made
    assert folders[0] != folders[1]
    assert {path.suffix for path in log.parent.iterdir()} == {"", ".db", ".lock"}
    assert log.read_text() == ""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_four_start_at_once_on_a_new_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    servers = [LocalServer(tmp_path / "home" / "log") for _ in range(4)]
    try:
        for server in servers:
            server.wait(seconds=600)
        assert all(server.alive and answers(server.url) for server in servers)
        assert (tmp_path / "home" / "log").read_text() == ""
    finally:
        for server in servers:
            server.stop()
