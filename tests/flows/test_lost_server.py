"""Prefect goes away while a build runs: the files are the truth, and a finished build is a success."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest
from commands import ROOT, TOYS
from toy_flow import open_toy
from toy_stages import write_pictures

from flows.engines.threads import ThreadEngine
from flows.handover import Handover, Taken
from flows.server import LocalServer
from pipeline.manifest.finish import build_manifest

COMMAND = [sys.executable, str(ROOT / "tests" / "flows" / "toy_command.py")]
SOURCES = 6
DEAD = "http://127.0.0.1:9/api"
PROXIES = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"), DEAD)
BEFORE = """
from toy_flow import open_toy
from flows.cli import command_line
from flows.cli.scheduled import run_scheduled
from flows.handover import Handover
def go():
    work = Handover(open_toy("in", "m.parquet", "work"))
    run_scheduled(work, 2, lambda: False)
    print("left to be taken" if work.take() else "taken")
    return 0
command_line(go)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "in", SOURCES)
    return tmp_path


def started(folder: Path, *engine: str, **environment: str) -> subprocess.Popen[str]:
    """The toy build as a command of its own, in a folder, behind a proxy that is dead."""
    inherited = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    return subprocess.Popen(
        [*COMMAND, "in", "m.parquet", "work", "0.1", *engine],
        cwd=folder, env={**inherited, "PYTHONPATH": str(ROOT), **PROXIES, **environment},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def wait_for(what: Callable[[], object], running: subprocess.Popen[str], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline, "nothing came"
        time.sleep(0.05)


def ended_well(running: subprocess.Popen[str], folder: Path, seconds: float = 30) -> None:
    printed, said = running.communicate(timeout=seconds)
    assert running.returncode == 0, said
    assert f"{SOURCES * 12} variations of {SOURCES} sources accepted" in printed
    assert said.count("Prefect's server is gone") == 1
    assert not [line for line in said.splitlines() if "Prefect" not in line and "elapsed" not in line], said


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the server is found among the command's children")
def test_a_build_outlives_its_own_server(folder: Path) -> None:
    running = started(folder)
    wait_for(lambda: list(folder.glob("work/*/variations/*.parquet")), running)
    (server,) = psutil.Process(running.pid).children()
    server.kill()
    ended_well(running, folder)


@pytest.mark.slow
def test_a_build_outlives_a_configured_server(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    server = LocalServer(tmp_path_factory.mktemp("server") / "log")
    server.wait()
    running = started(folder, PREFECT_API_URL=server.url)
    wait_for(lambda: list(folder.glob("work/*/variations/*.parquet")), running)
    server.stop()
    ended_well(running, folder)


@pytest.mark.slow
@pytest.mark.parametrize("server", ["its own", "configured"])
def test_a_build_on_ray_outlives_its_server(
    server: str, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Nor do the processes that Ray starts afterwards need it."""
    pytest.importorskip("ray")
    ours = None
    with tempfile.TemporaryDirectory(prefix="r") as short:
        environment = {
            "RAY_TMPDIR": short, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_worker_niceness": "0",
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(TOYS), str(ROOT / "tests/flows")]),
        }  # fmt: skip
        if server == "configured":
            ours = LocalServer(tmp_path_factory.mktemp("server") / "log")
            ours.wait()
            environment["PREFECT_API_URL"] = ours.url
        running = started(folder, "ray", **environment)
        wait_for(lambda: list(folder.glob("work/*/variations/*.parquet")), running)
        if ours:
            ours.stop()
        else:
            children = psutil.Process(running.pid).children()
            (server_process,) = [child for child in children if "flows.server" in child.cmdline()]
            server_process.kill()
        ended_well(running, folder, seconds=120)


def test_a_server_that_goes_before_the_flow_begins_leaves_the_work_to_be_taken(folder: Path) -> None:
    """Prefect tries for minutes to make the flow run; nobody waits for it, and it never begins the work."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/tests/flows:{TOYS}", "PREFECT_API_URL": DEAD}
    done = subprocess.run(
        [sys.executable, "-c", BEFORE],
        cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "left to be taken\n"), done.stderr


def test_a_server_that_refuses_is_the_user_s_to_see_to(folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/tests/flows:{TOYS}"}
    with refusing() as url:
        done = subprocess.run(
            [sys.executable, "-c", BEFORE.replace("False", "True")],
            cwd=folder, env={**environment, "PREFECT_API_URL": url}, capture_output=True, text=True, check=False,
            timeout=200,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("Prefect: Client error '401 Unauthorized'"), done.stderr


@contextmanager
def refusing() -> Iterator[str]:
    """An API that knows nobody."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(401)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/api"
        server.shutdown()


def test_work_is_done_once(folder: Path) -> None:
    work = Handover(open_toy(str(folder / "in"), str(folder / "m.parquet"), str(folder / "work")))
    assert not work.under_way

    def fail() -> None:
        with work.at_work():
            assert work.under_way
            raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        fail()
    assert str(work.error) == "disk"
    assert work.done.is_set()
    assert not work.take()
    with pytest.raises(Taken), work.at_work():
        pass


def test_threads_build_the_same_without_prefect(folder: Path) -> None:
    build = open_toy(str(folder / "in"), str(folder / "m.parquet"), str(folder / "work"))
    digest = build_manifest(build, ThreadEngine(3)).digest
    calm = open_toy(str(folder / "in"), str(folder / "calm.parquet"), str(folder / "calm"))
    assert digest == build_manifest(calm).digest
