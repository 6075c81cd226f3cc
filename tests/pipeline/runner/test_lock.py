"""One writer a manifest: the second is refused at once, and the dead hold nothing."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from toy_stages import SIZE, recipe, write_pictures

from pipeline import store
from pipeline.config import UserError, build_config
from pipeline.manifest.finish import build_manifest, finish
from pipeline.runner import lock
from pipeline.runner.build import Build, open_build
from pipeline.runner.lock import DEAD_SECONDS, Owner, lock_path, only_writer, refuse_second
from pipeline.stages.sources import Sources

HOLDER = """
import sys, time
from pipeline.runner.lock import only_writer
with only_writer(sys.argv[1]):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture(params=["disk", "s3"])
def manifest(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    root = str(request.getfixturevalue("s3")) if request.param == "s3" else str(tmp_path)
    return f"{root}/out/v1.parquet"


@pytest.fixture
def holder(manifest: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock."""
    command = [sys.executable, "-c", HOLDER, manifest]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def left_by(owner: Owner, manifest: str) -> None:
    assert store.create(lock_path(manifest), json.dumps(asdict(owner)).encode())


def test_the_second_is_told_who_the_first_is(manifest: str, holder: subprocess.Popen[str]) -> None:
    begun = time.monotonic()
    with pytest.raises(UserError) as refusal, only_writer(manifest):
        pass
    with pytest.raises(UserError, match="another build writes this manifest"):
        refuse_second(manifest)
    assert time.monotonic() - begun < 5
    assert f"process {holder.pid} on {socket.gethostname()}" in str(refusal.value)
    assert "\n" not in str(refusal.value)
    with only_writer(manifest.replace("v1", "v2")):
        pass


def test_a_killed_build_does_not_block_the_next(
    manifest: str, holder: subprocess.Popen[str], caplog: pytest.LogCaptureFixture
) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with only_writer(manifest):
        assert store.exists(lock_path(manifest))
    assert not store.exists(lock_path(manifest))
    (told,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert f"process {holder.pid} on" in told
    assert "taken over" in told


def test_the_lock_is_gone_afterwards_even_after_an_error(manifest: str) -> None:
    def fail() -> None:
        with only_writer(manifest):
            assert store.exists(lock_path(manifest))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with only_writer(manifest):
        pass
    assert store.list_files(manifest.rsplit("/", 1)[0]) == []


def test_a_process_id_that_was_given_again_is_another_process(manifest: str) -> None:
    left_by(replace(Owner.here(), started="1"), manifest)
    with only_writer(manifest):
        pass


@pytest.mark.parametrize(("silent", "free"), [(10.0, False), (DEAD_SECONDS + 60, True)])
def test_owners_on_other_machines_are_dead_when_silent(manifest: str, silent: float, free: bool) -> None:
    left_by(replace(Owner.here(), host="far", space="far", pid=1, seen=time.time() - silent), manifest)
    if free:
        with only_writer(manifest):
            pass
    else:
        with pytest.raises(UserError, match="process 1 on far"), only_writer(manifest):
            pass


@pytest.mark.parametrize("said", [b"", b"{}", b"[" * 100_000])
def test_a_lock_that_says_nothing_is_taken_over(manifest: str, said: bytes) -> None:
    store.write_bytes(lock_path(manifest), said)
    with only_writer(manifest):
        pass


def test_of_many_one_takes_over(manifest: str) -> None:
    left_by(replace(Owner.here(), started="1"), manifest)
    held: list[int] = []
    start, refused = threading.Barrier(6), threading.Semaphore(0)

    def take(number: int) -> None:
        start.wait()
        try:
            with only_writer(manifest):
                held.append(number)
                for _ in range(5):  # the others have had their answer before this one lets go
                    assert refused.acquire(timeout=60)
        except UserError:
            refused.release()

    threads = [threading.Thread(target=take, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(held) == 1


def test_the_owner_is_heard_of_and_notices_when_it_lost_the_lock(
    manifest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.05)
    with only_writer(manifest) as mine:
        first = json.loads(store.read_bytes(lock_path(manifest)))
        deadline = time.monotonic() + 30
        while json.loads(store.read_bytes(lock_path(manifest)))["seen"] == first["seen"]:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        mine.check()
        other = json.dumps(asdict(replace(Owner.here(), host="far"))).encode()
        store.write_bytes(lock_path(manifest), other)
        lost = ""
        while not lost and time.monotonic() < deadline:
            try:
                mine.check()
                time.sleep(0.02)  # it hears of it at its next beat
            except UserError as error:
                lost = str(error)
        assert re.search(r"taken over by process .* on far", lost)
    assert store.read_bytes(lock_path(manifest)) == other


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused = pytest.raises(UserError, match=r"file/v1\.parquet: its folder cannot be written to")
    with refused, only_writer(f"{tmp_path}/file/v1.parquet"):
        pass


def opened(folder: Path, work: str) -> Build:
    values = {"sources": (str(folder / "in"),), "manifest": str(folder / "v1.parquet"), "subjects": 3, "backgrounds": 4}
    return open_build(build_config(**values, work=str(folder / work)), [Sources(size=SIZE), *recipe()])


def test_builds_of_one_manifest_exclude_each_other_whatever_their_work(tmp_path: Path) -> None:
    write_pictures(tmp_path / "in", 2)
    build, other = opened(tmp_path, "work"), opened(tmp_path, "other")
    with only_writer(str(tmp_path / "v1.parquet")):
        for refused in (build, other):
            with pytest.raises(UserError, match="another build writes this manifest"):
                build_manifest(refused)
        assert not (tmp_path / "work").exists()
    first = build_manifest(build)
    with only_writer(str(tmp_path / "v1.parquet")):  # a finished build is answered without writing
        assert finish(build, build.scan()) == first
    assert sorted(path.name for path in tmp_path.iterdir() if "lock" in path.name) == []
