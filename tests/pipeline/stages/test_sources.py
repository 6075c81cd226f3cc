"""The ``sources`` stage and the search for duplicates."""

from __future__ import annotations

import os
import random
import resource
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from toy_stages import picture, write_pictures

from pipeline import ids, store
from pipeline.config import load_profile
from pipeline.imaging.phash import distance
from pipeline.imaging.png import from_png
from pipeline.inputs.listing import list_sources
from pipeline.records import Reason, Source, Status
from pipeline.runner import plan
from pipeline.runner.duplicates import find_duplicates
from pipeline.runner.ledger import Ledger
from pipeline.runner.run_stage import run_stage
from pipeline.stages import sources as module
from pipeline.stages.sources import Sources

STAGE = Sources(size=64)


def _read(*sources: Path | str) -> dict[str, Source]:
    return {row.path: row for row in STAGE.process(list_sources([str(source) for source in sources]))}


def test_a_good_source(tmp_path: Path) -> None:
    Image.new("RGB", (200, 100), (10, 200, 30)).save(tmp_path / "a.png")
    (tmp_path / "LICENSES.csv").write_text("file,licence_name,attribution\na.png,CC0,Ann\n")
    row = _read(tmp_path)["a.png"]
    assert row.status == Status.OK
    assert row.source_id == ids.source_id((tmp_path / "a.png").read_bytes())
    assert (row.source_width, row.source_height, row.frame) == (200, 100, [0, -50, 200])
    assert row.source_image is not None
    square = from_png(row.source_image)
    assert (square.size, square.mode, square.getpixel((32, 32))) == ((64, 64), "RGB", (10, 200, 30))
    assert len(row.source_phash) == 16
    assert (row.source_license, row.source_attribution) == ("CC0", "Ann")


def test_bad_ones_among_good_ones(tmp_path: Path) -> None:
    write_pictures(tmp_path, 2)
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.jpg").write_text("hello")
    Image.new("RGB", (300, 20)).save(tmp_path / "narrow.png")
    (tmp_path / "list.txt").write_text("gone.png\n")
    rows = _read(tmp_path, tmp_path / "list.txt")
    assert {path: (row.status, row.reason) for path, row in rows.items()} == {
        "00000.png": (Status.OK, None),
        "00001.png": (Status.OK, None),
        "empty.png": (Status.REJECTED, Reason.EMPTY_FILE),
        "gone.png": (Status.FAILED, None),
        "narrow.png": (Status.REJECTED, Reason.TOO_SMALL),
        "text.jpg": (Status.REJECTED, Reason.UNREADABLE),
    }
    assert "gone.png" in str(rows["gone.png"].error)
    assert rows["empty.png"].source_id == ids.source_id("empty.png")
    assert rows["text.jpg"].source_id == ids.source_id(b"hello")


def test_a_file_that_comes_back_is_read_on_retry(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("gone.png\n")
    ledger = Ledger(str(tmp_path / "work"))
    (shard,) = plan.shards(list_sources([str(tmp_path / "list.txt")]), 9)
    first = run_stage(STAGE, lambda: shard.rows, shard.digest, shard.name, ledger)
    assert first.counts == {"failed": 1}
    picture("x", 64).save(tmp_path / "gone.png")
    second = run_stage(STAGE, lambda: shard.rows, shard.digest, shard.name, ledger, retry="failed")
    assert second.counts == {"ok": 1}
    assert ledger.read(second, Source)[0].source_id == ids.source_id((tmp_path / "gone.png").read_bytes())


def test_an_oversized_file_is_not_read_whole(tmp_path: Path) -> None:
    with open(tmp_path / "huge.png", "wb") as file:
        file.truncate(300 * 2**20)
    assert _read(tmp_path)["huge.png"].reason == Reason.TOO_LARGE


def test_from_an_object_store(s3: str, tmp_path: Path) -> None:
    write_pictures(tmp_path, 1)
    store.write_bytes(f"{s3}/in/a.png", (tmp_path / "00000.png").read_bytes())
    (row,) = _read(f"{s3}/in").values()
    assert row.ok
    assert row.source_image == _read(tmp_path)["00000.png"].source_image


def test_settings_come_from_the_profile() -> None:
    settings = load_profile("tiny").sources
    stage = Sources.of(settings)
    assert (stage.size, stage.max_pixels, stage.min_side) == (settings.size, settings.max_pixels, settings.min_side)
    assert stage.settings() != replace(stage, min_side=33).settings()


def test_duplicates_keep_the_first_of_the_listing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    original = Image.fromarray(rng.integers(0, 256, (12, 12, 3), np.uint8)).resize((300, 300), Image.Resampling.BICUBIC)
    original.save(tmp_path / "b.png")
    (tmp_path / "d.png").write_bytes((tmp_path / "b.png").read_bytes())
    original.resize((200, 200)).save(tmp_path / "c.jpg", quality=70)
    picture("another", 64).save(tmp_path / "a.png")
    rows = list(_read(tmp_path).values())
    duplicates = find_duplicates(rows, 4)
    marked = {row.path: (row.reason, row.detail) for row in duplicates.mark(rows)}
    assert marked == {
        "a.png": (None, None),
        "b.png": (None, None),
        "c.jpg": (Reason.NEAR_DUPLICATE, "b.png"),
        "d.png": (Reason.DUPLICATE, "b.png"),
    }
    assert [row.reason for row in find_duplicates(rows, 0).mark(rows)][3] == Reason.DUPLICATE


def test_refused_sources_are_no_originals(tmp_path: Path) -> None:
    one, two = (Source(source_id="same", path=name, source_phash="0" * 16) for name in "ab")
    assert find_duplicates([one.reject(Reason.TOO_SMALL), two], 4).found == {}


def test_duplicates_change_the_next_input_only_where_they_are(tmp_path: Path) -> None:
    write_pictures(tmp_path / "in", 3)
    (tmp_path / "in" / "00002.png").write_bytes((tmp_path / "in" / "00000.png").read_bytes())
    ledger = Ledger(str(tmp_path / "work"))
    fragments = [
        run_stage(STAGE, lambda s=shard: s.rows, shard.digest, shard.name, ledger)
        for shard in plan.shards(list_sources([str(tmp_path / "in")]), 1)
    ]
    rows = [row for fragment in fragments for row in ledger.read(fragment, Source)]
    with_, without = find_duplicates(rows, 4), find_duplicates(rows[:2], 4)
    changed = [with_.digest(fragment) != without.digest(fragment) for fragment in fragments]
    assert changed == [False, False, True]


@pytest.mark.parametrize("limit", [0, 3, 10])
def test_many_sources_in_seconds(limit: int) -> None:
    draw = random.Random(0)
    codes = [draw.getrandbits(64) for _ in range(20_000)]
    for n in range(0, 20_000, 100):  # every hundredth is near to its predecessor
        codes[n + 1] = codes[n] ^ sum(1 << bit for bit in draw.sample(range(64), limit))
    rows = [Source(source_id=f"{n}", path=f"{n:06d}", source_phash=f"{code:016x}") for n, code in enumerate(codes)]
    started = time.process_time()
    found = find_duplicates(rows, limit).found
    assert time.process_time() - started < 20
    assert {f"{n + 1:06d}" for n in range(0, 20_000, 100)} <= set(found)
    assert all(distance(f"{codes[int(a)]:016x}", f"{codes[int(b)]:016x}") <= limit for a, (_, b) in found.items())


def test_chains_of_small_changes_are_not_swallowed_whole() -> None:
    codes = [0, 0b111, 0b111111, 0b111111111]
    rows = [Source(source_id=f"{n}", path=f"{n}", source_phash=f"{code:016x}") for n, code in enumerate(codes)]
    assert set(find_duplicates(rows, 4).found) == {"1", "3"}


def test_the_bad_photographs(photos: Path) -> None:
    rows = _read(photos / "bad", photos / "images")
    refused = {path: row.reason for path, row in rows.items() if not row.ok}
    assert refused == {
        "bomb.png": Reason.TOO_LARGE,
        "empty.png": Reason.EMPTY_FILE,
        "not_an_image.jpg": Reason.UNREADABLE,
        "truncated.jpg": Reason.UNREADABLE,
    }
    assert len(rows) - len(refused) == 4 + 7
    assert sum(row.source_license is not None for row in rows.values()) == 7


@pytest.mark.timeout(60)
def test_what_is_no_picture_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "fifo.png")
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(tmp_path / "socket.png"))
    (tmp_path / "gone.png").symlink_to("nowhere.png")
    (tmp_path / "circle.png").symlink_to("circle.png")
    (tmp_path / "device.png").symlink_to("/dev/zero")
    (tmp_path / "raw.NEF").write_bytes(b"II*\0")
    (tmp_path / "list.txt").write_text("folder.png\n")
    rows = _read(tmp_path, tmp_path / "list.txt")
    server.close()
    assert {path: (row.reason, row.detail) for path, row in rows.items()} == {
        "circle.png": (Reason.NOT_A_FILE, "a link that leads in a circle"),
        "device.png": (Reason.NOT_A_FILE, "a device, not a file"),
        "fifo.png": (Reason.NOT_A_FILE, "a FIFO, not a file"),
        "folder.png": (Reason.NOT_A_FILE, "a folder, not a file"),
        "gone.png": (Reason.NOT_A_FILE, "a link to nothing"),
        "raw.NEF": (Reason.UNSUPPORTED_FORMAT, "no decoder for .nef"),
        "socket.png": (Reason.NOT_A_FILE, "a socket, not a file"),
    }


def test_odd_names_in_a_list_fail_alone(tmp_path: Path) -> None:
    write_pictures(tmp_path, 1)
    (tmp_path / "list.txt").write_text("00000.png\nnosuch://host/b.png\nnul\0.png\n" + "x" * 5000 + ".png\n")
    rows = _read(tmp_path / "list.txt")
    assert rows.pop("00000.png").ok
    assert {row.status for row in rows.values()} == {Status.FAILED}
    assert len(rows) == 3


@pytest.mark.parametrize("error", [MemoryError(), RecursionError("deep"), SystemError("odd")])
@pytest.mark.parametrize("step", ["read_picture", "square", "phash"])
def test_one_source_never_takes_its_shard_along(
    tmp_path: Path, step: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pictures(tmp_path, 3)
    real, calls = getattr(module, step), []

    def breaks_once(*arguments: Any) -> Any:
        calls.append(step)
        if len(calls) == 2:
            raise error
        return real(*arguments)

    monkeypatch.setattr(module, step, breaks_once)
    rows = _read(tmp_path)
    assert [row.status for row in rows.values()] == [Status.OK, Status.FAILED, Status.OK]
    assert type(error).__name__ in str(rows["00001.png"].error)


@pytest.mark.parametrize(("width", "height"), [(400_000, 32), (32, 400_000), (60_000, 3_000)])
def test_a_long_strip_is_refused_before_it_costs_memory(tmp_path: Path, width: int, height: int) -> None:
    Image.new("L", (width, height)).save(tmp_path / "strip.png")
    write_pictures(tmp_path, 1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rows = _read(tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB
    assert rows["strip.png"].reason in (Reason.TOO_LARGE, Reason.TOO_NARROW)
    assert rows["00000.png"].ok


def test_a_mended_picture_says_so(tmp_path: Path) -> None:
    picture("x", 256).save(tmp_path / "a.jpg", quality=95)
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:-2])
    row = _read(tmp_path)["a.jpg"]
    assert row.ok
    assert str(row.detail).startswith("cut off")


def test_the_orientation_is_kept(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture("x", 64).resize((64, 48)).save(tmp_path / "a.jpg", exif=exif)
    row = _read(tmp_path)["a.jpg"]
    assert (row.source_width, row.source_height, row.source_orientation) == (48, 64, 6)


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        ({}, {}, "a"),
        ({}, {"pose_entry": "b"}, "b"),
        ({"pose_entry": "a"}, {"source_license": "CC0"}, "a"),
        ({}, {"source_license": "CC0"}, "b"),
        ({"pose_entry": "a"}, {"pose_entry": "b", "source_license": "CC0"}, "b"),
        ({"source_license": "CC0"}, {"source_license": "CC0"}, "a"),
    ],
)
def test_of_equal_sources_that_with_pose_and_rights_is_kept(
    first: dict[str, str], second: dict[str, str], kept: str
) -> None:
    rows = [
        Source(source_id="same", path="a", source_phash="0" * 16, **first),
        Source(source_id="same", path="b", source_phash="0" * 16, **second),
    ]
    (other,) = {"a", "b"} - {kept}
    assert find_duplicates(rows, 4).found == {other: (Reason.DUPLICATE, kept)}


def test_equal_sources_near_to_a_third_name_the_one_that_is_kept() -> None:
    rows = [
        Source(source_id="third", path="a", source_phash="0" * 16),
        Source(source_id="same", path="b", source_phash="0" * 15 + "1"),
        Source(source_id="same", path="c", source_phash="0" * 15 + "1", pose_entry="c"),
    ]
    assert find_duplicates(rows, 4).found == {"b": (Reason.NEAR_DUPLICATE, "a"), "c": (Reason.NEAR_DUPLICATE, "a")}
