"""A store that breaks connections and answers 503: nothing is lost, nothing doubled, and who waits is told so."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from faulty_s3 import FaultyProxy, faulty_proxy
from toy_stages import SIZE, recipe, write_pictures

from pipeline import object_store, store
from pipeline.config import UserError, build_config
from pipeline.failures import told
from pipeline.manifest.finish import build_manifest
from pipeline.manifest.read import Manifest
from pipeline.manifest.validate.manifest import validate
from pipeline.runner.build import open_build
from pipeline.runner.lock import lock_path, only_writer
from pipeline.stages.sources import Sources

FAULTS = [
    pytest.param((0.05, 0.05), id="few"),
    pytest.param((0.05, 0.4), id="many", marks=pytest.mark.slow),
]
"""Shares of the requests whose connection is dropped, and that are answered 503."""


@pytest.fixture
def proxy(s3_server: str, s3: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    with faulty_proxy(s3_server) as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL", running.url)
        yield running


@pytest.mark.parametrize("faults", FAULTS)
def test_files_survive(faults: tuple[float, float], proxy: FaultyProxy, s3: str) -> None:
    proxy.drops, proxy.refusals = faults
    rng = random.Random(1)
    for number in range(20):
        data = rng.randbytes(20_000)
        store.write_bytes(f"{s3}/many/{number}", data)
        assert store.read_bytes(f"{s3}/many/{number}") == data
    assert len(store.list_files(f"{s3}/many")) == 20
    large = rng.randbytes(12 << 20)  # several parts of an upload, and several reads
    store.write_bytes(f"{s3}/large", large)
    with store.open_input(f"{s3}/large") as file:
        assert file.read() == large
    store.remove(f"{s3}/many/0")
    assert not store.exists(f"{s3}/many/0")
    assert proxy.counts["busy"] and proxy.counts["lost"] and proxy.counts["served"], proxy.counts


def test_who_creates_a_file_hears_that_it_was_him(proxy: FaultyProxy, s3: str) -> None:
    """The store had done it, and the answer was lost: the second try finds a file, which is its own."""
    proxy.drops = 0.5
    for number in range(5):
        assert store.create(f"{s3}/{number}", b"mine"), number
        assert not store.create(f"{s3}/{number}", b"another's"), number
        assert store.swap(f"{s3}/{number}", b"mine", b"mine, still"), number
        assert not store.swap(f"{s3}/{number}", b"mine", b"another's"), number
        assert store.read_bytes(f"{s3}/{number}") == b"mine, still"
    assert proxy.counts["unanswered"] > 0


@pytest.mark.parametrize("faults", FAULTS)
def test_a_build_comes_to_the_same_manifest(
    faults: tuple[float, float], proxy: FaultyProxy, s3: str, tmp_path: Path
) -> None:
    def build(root: str, sources: str) -> str:
        config = build_config(
            sources=(sources,), manifest=f"{root}/toy.parquet", work=f"{root}/work", subjects=2, backgrounds=2
        )
        stages = [Sources(size=SIZE), *recipe(subjects={"count": 2}, variations={"count": 2})]
        return build_manifest(open_build(config, stages)).digest

    pictures = write_pictures(tmp_path / "in", 3)
    calm = build(str(tmp_path / "calm"), str(pictures))
    for picture in pictures.iterdir():
        store.write_bytes(f"{s3}/in/{picture.name}", picture.read_bytes())
    proxy.drops, proxy.refusals = faults
    assert build(s3, f"{s3}/in") == calm
    proxy.drops = proxy.refusals = 0.0
    assert not validate(f"{s3}/toy.parquet")
    assert Manifest(f"{s3}/toy.parquet").rows == 12
    left = [path for path in store.list_files(s3) if "/." in path]
    assert not left, "hidden files or a lock are left"


def test_who_waits_is_told_so_and_when_it_is_over(
    proxy: FaultyProxy, s3: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_store, "_SAY_SECONDS", 0.5)
    store.write_bytes(f"{s3}/file", b"x")
    proxy.refusals = 1.0
    threading.Timer(2.5, setattr, (proxy, "refusals", 0.0)).start()
    with caplog.at_level(logging.WARNING):
        assert store.read_bytes(f"{s3}/file") == b"x"
    first, *_, last = [record.getMessage() for record in caplog.records]
    assert "waiting for s3://bucket-" in first
    assert "/file since" in first
    assert "503" in first
    assert "answers again" in last


def test_it_ends_after_the_set_time(proxy: FaultyProxy, s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(object_store.PATIENCE, "1.5")
    _forget()
    store.write_bytes(f"{s3}/file", b"x")
    proxy.drops = 1.0
    began = time.monotonic()
    with pytest.raises(OSError, match="did not succeed within") as ended:
        store.read_bytes(f"{s3}/file")
    assert 1.5 < time.monotonic() - began < 20
    message = told(ended.value)
    assert message
    assert message.startswith("object store: s3://bucket-")
    assert "the same command goes on from here" in message
    assert "\n" not in message
    monkeypatch.setenv(object_store.PATIENCE, "soon")
    _forget()
    with pytest.raises(UserError, match="SPOTDIFF_STORE_PATIENCE=soon: not a number"):
        store.exists(f"{s3}/file")


def test_what_is_not_there_or_forbidden_is_said_at_once(proxy: FaultyProxy, s3: str) -> None:
    began = time.monotonic()
    with pytest.raises(FileNotFoundError):
        store.read_bytes(f"{s3}/nothing")
    with pytest.raises(FileNotFoundError):
        store.read_bytes("s3://no-such-bucket/file")
    assert time.monotonic() - began < 5


def test_a_lock_outlives_a_bad_connection(proxy: FaultyProxy, s3: str) -> None:
    proxy.drops, proxy.refusals = 0.2, 0.2
    with only_writer(f"{s3}/v1.parquet") as lock:
        lock.check()
        with pytest.raises(UserError, match="another build writes this manifest"), only_writer(f"{s3}/v1.parquet"):
            pass
    proxy.drops = proxy.refusals = 0.0
    assert not store.exists(lock_path(f"{s3}/v1.parquet"))


def _forget() -> None:
    """Filesystems are kept as long as their options are the same."""
    object_store._patient_class().clear_instance_cache()
