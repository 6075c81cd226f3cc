"""The ``sources`` stage and the search for duplicates."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from pathlib import Path

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
