"""Damage in finished fragments: found when it is read, told once, made again; never a silent change."""

from __future__ import annotations

import json
import logging
import os
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from toy_stages import SIZE, ToySubjects, ToyVariations, recipe, write_pictures

from pipeline.arrow import schema_of
from pipeline.config import UserError, build_config
from pipeline.manifest.finish import build_manifest, finish
from pipeline.manifest.validate.manifest import validate
from pipeline.records import Reason, Source, Variation
from pipeline.runner import index
from pipeline.runner.build import CONFIG, Build, last_config, open_build
from pipeline.runner.ledger import DamagedFragment, Ledger, shared_ledger
from pipeline.runner.lock import lock_path
from pipeline.runner.sealed import write_sealed
from pipeline.stages.sources import Sources

STAGES = ("sources", "poses", "subjects", "variations")


def opened(folder: Path, stages: Any = None) -> Build:
    values = {"sources": (str(folder / "in"),), "manifest": str(folder / "out" / "v1.parquet")}
    config = build_config(**values, work=str(folder / "work"), subjects=3, backgrounds=4)
    forget_ledgers()
    return open_build(config, [Sources(size=SIZE), *(stages or recipe())])


def forget_ledgers() -> None:
    """As a new process would begin."""
    shared_ledger.cache_clear()


def fragments(folder: Path, stage: str) -> list[Path]:
    return sorted((folder / "work").glob(f"*/{stage}/*.parquet"))


def flip(path: Path, byte: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[byte] ^= 1 << bit
    path.write_bytes(data)


def calls(stages: Any) -> int:
    return sum(len(stage.calls) for stage in stages if isinstance(stage, ToySubjects | ToyVariations))


def warnings(caplog: pytest.LogCaptureFixture, path: Path) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING and str(path) in r.getMessage()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "in", 4)
    return tmp_path


def test_any_flipped_bit_is_found_or_without_effect(tmp_path: Path) -> None:
    """Column chunks, page headers, footer, our JSON in it, seal, magic numbers: some bit of every 16 bytes or so."""
    ledger = Ledger(str(tmp_path))
    rows = [
        Variation(source_id=f"{n:016x}", path=f"{n}.png", image=b"image" * n, keypoints=[[0.5, 0.25, 1.0]] * 18)
        for n in range(2)
    ]
    fragment = ledger.write(rows, Variation, stage="variations", shard="0", key="k" * 16, settings="s")
    path, chance = Path(fragment.path), random.Random(0)
    whole = path.read_bytes()
    found = 0
    places = range(0, len(whole), 16)
    for place in places:
        path.write_bytes(whole)
        flip(path, min(place + chance.randrange(16), len(whole) - 1), chance.randrange(8))
        try:
            assert ledger.read(fragment, Variation) == rows
        except DamagedFragment:
            found += 1
    assert found >= len(places) - 1, "the first four bytes are nobody's"


def test_fragments_are_parquet_to_others(tmp_path: Path) -> None:
    rows = [Source(source_id=f"{n:016x}", path=f"{n}.png", source_image=b"png" * n) for n in range(3)]
    fragment = Ledger(str(tmp_path)).write(rows, Source, stage="sources", shard="0", key="k", settings="s")
    table = pq.read_table(fragment.path, page_checksum_verification=True)
    assert table.column("source_image").to_pylist() == [row.source_image for row in rows]
    rest = [json.loads(text) for text in table.column("row").to_pylist()]
    assert rest == [{"source_id": f"{n:016x}", "path": f"{n}.png"} for n in range(3)]


@pytest.mark.parametrize("place", [0.3, -20], ids=["rows", "footer"])
@pytest.mark.parametrize("stage", STAGES)
def test_a_damaged_fragment_is_made_again_on_the_way_to_the_manifest(
    folder: Path, stage: str, place: float, caplog: pytest.LogCaptureFixture
) -> None:
    good = build_manifest(opened(folder))
    (folder / "out" / "v1.parquet").unlink()
    later = STAGES[STAGES.index(stage) + 1 :]
    for other in later[:1]:  # what reads it has to be made, too; the manifest's writer reads the last stage
        fragments(folder, other)[0].unlink()
    hurt = fragments(folder, stage)[0]
    before = hurt.read_bytes()
    flip(hurt, int(place * len(before)) if place > 0 else len(before) + int(place))
    stages = recipe()
    again = build_manifest(opened(folder, stages))
    assert replace(again, rejected=good.rejected) == good, "all but the writing's own name"
    assert hurt.read_bytes() == before
    assert len(warnings(caplog, hurt)) == 1
    assert validate(again.manifest) == []
    due = {"sources": 0, "poses": 2 * 3, "subjects": 2 * 3 + 2 * 3 * 4, "variations": 2 * 3 * 4}
    assert calls(stages) == due[stage], "only what was damaged or lost is made again"


def test_the_writer_finds_damage_by_itself_when_all_seems_done(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The footer is sound, so the build looks complete; the picture in the rows is not."""
    good = build_manifest(opened(folder))
    (folder / "out" / "v1.parquet").unlink()
    hurt = fragments(folder, "variations")[1]
    flip(hurt, hurt.stat().st_size // 3)
    build = opened(folder)
    found = build.scan()
    assert build.complete(found)
    assert replace(finish(build, found), rejected=good.rejected) == good
    assert len(warnings(caplog, hurt)) == 1


def test_damaged_rows_are_not_reused(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    good = build_manifest(opened(folder))
    hurt = fragments(folder, "variations")[0]
    flip(hurt, hurt.stat().st_size // 3)
    values = {"sources": (str(folder / "in"),), "manifest": str(folder / "out" / "v1.parquet"), "shard_size": 3}
    config = build_config(**values, work=str(folder / "work"), subjects=3, backgrounds=4)
    forget_ledgers()
    stages = recipe()
    again = build_manifest(open_build(config, [Sources(size=SIZE), *stages]))
    assert again.digest == good.digest
    assert calls(stages) == 2 * 3 * 4
    assert len(warnings(caplog, hurt)) == 1


def test_a_disk_that_damages_every_time_is_blamed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Ledger.write

    def bad(self: Ledger, *args: Any, **options: Any) -> Any:
        fragment = write(self, *args, **options)
        if fragment.stage == "variations":
            flip(Path(fragment.path), 100)
        return fragment

    monkeypatch.setattr(Ledger, "write", bad)
    with pytest.raises(UserError, match=r"variations.*again, after it was made anew: check the disk"):
        build_manifest(opened(folder))


def test_a_finished_build_is_answered_from_the_index(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_manifest(opened(folder))
    build = opened(folder)
    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "_load", None)
        assert build.complete(build.scan())


@pytest.mark.parametrize("harm", ["lost", "flipped", "foreign"])
def test_the_index_is_only_a_shortcut(folder: Path, harm: str) -> None:
    good = build_manifest(opened(folder))
    (path,) = (folder / "work").glob(f"*/{index.NAME}")
    if harm == "lost":
        path.unlink()
    elif harm == "flipped":
        flip(path, path.stat().st_size // 2)
    else:
        path.write_bytes(b"[]")
    stages = recipe()
    build = opened(folder, stages)
    assert build.complete(build.scan())
    assert build_manifest(build) == good
    assert calls(stages) == 0


def test_the_index_says_nothing_of_a_file_that_changed(folder: Path) -> None:
    good = build_manifest(opened(folder))
    hurt = fragments(folder, "subjects")[0]
    hurt.write_bytes(b"x" * hurt.stat().st_size)
    build = opened(folder)
    assert not build.complete(build.scan())
    assert build_manifest(build) == good


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["FIFO", "endless"])
@pytest.mark.parametrize("what", ["sources", "variations", "index", "config", "manifest", "rejected", "lock"])
def test_what_is_no_regular_file_never_hangs(folder: Path, what: str, kind: str) -> None:
    good = build_manifest(opened(folder))
    manifest, config = folder / "out" / "v1.parquet", opened(folder).config
    path = {
        "index": folder / "work" / config.run / index.NAME,
        "config": folder / "work" / config.run / CONFIG,
        "manifest": manifest,
        "rejected": Path(good.rejected),
        "lock": Path(lock_path(str(manifest))),
    }.get(what) or fragments(folder, what)[0]
    path.unlink(missing_ok=True)
    os.mkfifo(path) if kind == "FIFO" else path.symlink_to("/dev/zero")
    if what == "config":
        with pytest.raises(UserError, match=r"config\.json is damaged .*no regular file"):
            last_config(str(manifest), str(folder / "work"))
    if what in ("manifest", "rejected"):
        (problem,) = validate(str(manifest))
        assert f"{path}: is no regular file" in str(problem)
    if what == "lock":
        with pytest.raises(UserError, match="is no regular file; move it away"):
            build_manifest(opened(folder))
    else:
        manifest.unlink(missing_ok=True)
        assert build_manifest(opened(folder)).digest == good.digest


def test_the_index_of_another_version_is_passed_over(folder: Path) -> None:
    good = build_manifest(opened(folder))
    root = next((folder / "work").iterdir())
    index.write(str(root), [(name, stamp, {"path": "x"}) for name, stamp, _ in index.read(str(root))])
    assert list(index.read(str(root)))
    stages = recipe()
    assert build_manifest(opened(folder, stages)) == good
    assert calls(stages) == 0


def test_fragments_with_a_column_for_each_field_are_read(tmp_path: Path) -> None:
    """As they were before small fields shared one."""
    rows = [
        Variation(
            source_id=f"{n:016x}", path=f"{n}.png", image=b"image", pose_score=0.5, people=1, frame=[0.0, 1.0, 2.0]
        )
        for n in range(2)
    ]
    rows[1] = rows[1].reject(Reason.DEGENERATE, "grey")
    ledger = Ledger(str(tmp_path))
    fragment = ledger.write(rows, Variation, stage="variations", shard="0", key="k" * 16, settings="s")
    columns = {field.name: pa.array([getattr(row, field.name) or None for row in rows], field.type)
               for field in schema_of(Variation) if any(getattr(row, field.name) for row in rows)}  # fmt: skip
    table, said = pa.table(columns), {**fragment.said(), "groups": [0, 0]}
    with open(fragment.path, "wb") as file:
        write_sealed(file, table.schema, [table], said)
    forget_ledgers()
    again = Ledger(str(tmp_path))
    found = again.find("variations", "0", "k" * 16)
    assert found == fragment
    assert again.read(found, Variation) == rows
    assert again.read_source(found, rows[1].source_id, Variation) == rows[1:]
