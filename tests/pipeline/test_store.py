"""Files: whole or not at all, on disk and in an object store."""

from __future__ import annotations

import contextlib
import gc
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pipeline import hidden_names, process, store
from pipeline.config import UserError

HOSTILE = ["a::b.png", "per%20cent.png", "sha#rp.png", "<script>.png", "'quote\".png", "é ü 你.png", "[x]*.png"]


@pytest.fixture(params=["disk", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(request.getfixturevalue("s3")) if request.param == "s3" else str(tmp_path)


def test_write_read_list_remove(root: str) -> None:
    url = store.join(root, "folder", "b.bin")
    assert not store.exists(url)
    store.write_bytes(url, b"one")
    store.write_bytes(url, b"two")
    store.write_bytes(store.join(root, "folder", "a.txt"), b"")
    assert store.read_bytes(url) == b"two"
    with store.open_input(url) as file:
        file.seek(1)
        assert file.read() == b"wo"
    assert store.list_files(f"{root}/folder") == [f"{root}/folder/a.txt", url]
    assert store.list_files(f"{root}/folder", ".bin") == [url]
    assert store.list_files(f"{root}/nowhere") == []
    store.remove(url)
    store.remove(url)
    assert not store.exists(url)
    assert store.list_files(f"{root}/folder", ".bin") == []


def test_others_files_are_seen_at_once(root: str) -> None:
    """An object store's client must not answer from a listing that it took earlier."""
    store.write_bytes(f"{root}/folder/old", b"x")
    assert store.list_files(f"{root}/folder") == [f"{root}/folder/old"]
    code = "import sys; from pipeline import store; store.write_bytes(sys.argv[1], b'x')"
    subprocess.run([sys.executable, "-c", code, f"{root}/folder/new"], check=True, env=dict(os.environ))
    assert store.list_files(f"{root}/folder") == [f"{root}/folder/new", f"{root}/folder/old"]
    assert store.exists(f"{root}/folder/new")


def test_a_failed_write_leaves_the_old_file(root: str) -> None:
    url = f"{root}/file"
    store.write_bytes(url, b"old")

    def fail() -> None:
        with store.atomic(url) as file:
            file.write(b"half of the new" * 10_000)
            raise RuntimeError("on purpose")

    with contextlib.suppress(RuntimeError):  # pytest.raises would keep the file alive in its traceback
        fail()
    gc.collect()  # a file that is closed when it is collected must not appear either
    assert store.read_bytes(url) == b"old"
    assert store.list_files(root) == [url]
    if store.is_local(root):
        assert os.listdir(root) == ["file"]


def test_files_larger_than_one_part_of_an_upload(root: str) -> None:
    data = random.Random(0).randbytes(7 << 20)
    with store.atomic(f"{root}/large") as file:
        for start in range(0, len(data), 1 << 20):
            file.write(data[start : start + (1 << 20)])
    assert store.read_bytes(f"{root}/large") == data


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names(root: str, name: str) -> None:
    store.write_bytes(f"{root}/{name}", name.encode())
    assert store.read_bytes(f"{root}/{name}") == name.encode()
    assert store.list_files(root) == [f"{root}/{name}"]


def test_a_question_mark_on_disk(tmp_path: Path) -> None:
    """In an S3 URL it begins the object's version; on disk it is a character like others."""
    store.write_bytes(f"{tmp_path}/que?ry", b"x")
    assert os.listdir(tmp_path) == ["que?ry"]


def test_an_unknown_scheme_is_a_users_mistake() -> None:
    with pytest.raises(UserError, match="nosuch://"):
        store.exists("nosuch://bucket/file")


WRITER = """
import sys
from pipeline import hidden_names, process, store
with store.atomic(sys.argv[1]) as file:
    print("writing", flush=True)
    while True:
        file.write(b"x" * 65536)
        if file.tell() > 1 << 30: break
"""


def _start_writer(path: Path) -> subprocess.Popen[str]:
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "writing\n"
    return writer


def test_kill_leaves_the_old_file_and_only_a_stray(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file"
    store.write_bytes(str(target), b"old")
    with _start_writer(target) as writer:
        time.sleep(0.05)
        writer.send_signal(signal.SIGSTOP)
        removed, names, listed = (
            store.remove_stray(str(tmp_path)), os.listdir(target.parent), store.list_files(str(target.parent))
        )  # fmt: skip
        writer.kill()
    assert removed == 0, "took the file of a live writer"
    assert len(names) == 2
    assert listed == [str(target)], "shows a temporary file"
    assert target.read_bytes() == b"old"
    assert store.remove_stray(str(tmp_path)) == 1
    assert os.listdir(target.parent) == ["file"]


def test_stray_search_leaves_other_files_alone(tmp_path: Path) -> None:
    (tmp_path / ".hidden").write_text("mine")
    (tmp_path / "file.tmp").write_text("mine")
    assert store.remove_stray(str(tmp_path)) == 0
    assert store.remove_stray(str(tmp_path / "nowhere")) == 0
    assert sorted(os.listdir(tmp_path)) == [".hidden", "file.tmp"]


@pytest.mark.parametrize(("age", "removed"), [(60.0, 0), (hidden_names.FOREIGN_SECONDS + 60, 1)])
def test_another_machine_s_temporary_file_stays_until_it_is_old(
    age: float, removed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process cannot be asked after from here, and no lock on the file is to be relied on."""
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(process, "space", lambda: "another machine")
        hidden_names.machine.cache_clear()
        hidden_names.writer.cache_clear()
        theirs = hidden_names.temporary_name(tmp_path / "file")
    hidden_names.machine.cache_clear()
    hidden_names.writer.cache_clear()
    theirs.write_bytes(b"half")
    os.utime(theirs, (time.time() - age,) * 2)
    assert store.remove_stray(str(tmp_path)) == removed
    assert theirs.exists() != bool(removed)


def test_a_search_for_strays_never_takes_a_live_writers_file(tmp_path: Path) -> None:
    done = threading.Event()

    def search() -> None:
        while not done.is_set():
            store.remove_stray(str(tmp_path))

    searcher = threading.Thread(target=search)
    searcher.start()
    try:
        for number in range(300):
            store.write_bytes(f"{tmp_path}/{number}", b"x")
    finally:
        done.set()
        searcher.join()
    assert len(os.listdir(tmp_path)) == 300
