"""What a user can cause or mend is told in one line; a fault of ours keeps its traceback."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from commands import BIN, run_command
from toy_stages import write_pictures

from pipeline.config import build_config
from pipeline.runner.lock import only_writer

FAILING = "import sys; sys.argv = ['spotdiff']; from flows.cli import command_line\ndef fail(): {}\ncommand_line(fail)"


def failing(statement: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(
        [sys.executable, "-c", FAILING.format(statement)],
        cwd=cwd, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("open('nowhere/file')", "nowhere/file: No such file or directory; see that it is there"),
        ("open('file/below')", "file/below: Not a directory; a file is where a folder belongs"),
        ("__import__('os').makedirs('file')", "file: File exists; a file is where a folder belongs"),
        ("open('.')", ".: Is a directory; a folder is where a file belongs"),
        ("open('x' * 300)", "x: File name too long; choose a shorter name"),
    ],
)
def test_trouble_with_files_is_one_line_and_exit_code_1(statement: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = failing(statement, tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert said in done.stderr


def test_a_fault_of_ours_keeps_its_traceback(tmp_path: Path) -> None:
    done = failing("return 1 // 0", tmp_path)
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_ctrl_c_at_the_start_is_one_line_and_exit_code_130(tmp_path: Path) -> None:
    write_pictures(tmp_path / "in", 1)  # so that there is something to stop, however late the signal comes
    command = [str(BIN / "spotdiff"), "build", "in", "--manifest", "m.parquet"]
    running = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while "pydantic_core" not in Path(f"/proc/{running.pid}/maps").read_text() and time.monotonic() < deadline:
        time.sleep(0.001)  # our first import of weight
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130, said
    *_, line = said.splitlines()
    assert line.startswith("Stopped. What was finished is kept")
    assert "Traceback" not in said


@pytest.mark.parametrize("content", ["", "{", "[1]", "[" * 100_000, '{"colour": 3}', "\xff"])
def test_a_broken_config_in_the_run_s_folder_is_one_line(content: str, tmp_path: Path) -> None:
    told = build_config(sources=(), manifest=str(tmp_path / "m.parquet"), work=str(tmp_path / "work"))
    (tmp_path / "work" / told.run).mkdir(parents=True)
    (tmp_path / "work" / told.run / "config.json").write_text(content, encoding="latin-1")
    done = run_command("spotdiff", "status", "m.parquet", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "no build of" not in done.stderr


@pytest.mark.parametrize("credentials", [True, False])
def test_an_object_store_that_does_not_answer_is_one_line_within_seconds(
    credentials: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test") if credentials else monkeypatch.delenv(name, raising=False)
    began = time.monotonic()
    done = run_command("spotdiff", "status", "m.parquet", "--work", "s3://bucket/work", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "object store" in done.stderr
    assert "AWS_ENDPOINT_URL" in done.stderr
    assert time.monotonic() - began < 40  # most of it is start-up where the machine is busy


def test_an_object_store_behind_a_dead_wire_is_told_within_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its address takes no connections and refuses none, as behind a firewall."""
    with ExitStack() as stack:
        deaf = stack.enter_context(socket.socket())
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for _ in range(4):  # fill its queue; from then on the kernel drops who knocks
            knocking = stack.enter_context(socket.socket())
            knocking.setblocking(False)
            knocking.connect_ex(deaf.getsockname())
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "test")
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{deaf.getsockname()[1]}")
        done = run_command("spotdiff", "status", "m.parquet", "--work", "s3://bucket/work", cwd=tmp_path, timeout=90)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "object store: Connect timeout" in done.stderr


def test_a_second_build_of_a_manifest_is_told_who_the_first_is(tmp_path: Path) -> None:
    write_pictures(tmp_path / "in", 1)
    with only_writer(str(tmp_path / "m.parquet")):
        done = run_command("spotdiff", "build", "in", "--manifest", "m.parquet", "--work", "other", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert f"process {os.getpid()} on {socket.gethostname()}" in done.stderr
    assert not (tmp_path / "m.parquet").exists()
