"""A whole build: what is done stays done, and what does not do is said."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from toy_stages import SIZE, ToyVariations, recipe, write_pictures

from pipeline.config import UserError, build_config
from pipeline.manifest.finish import build_manifest, finish, written
from pipeline.manifest.read import Manifest
from pipeline.manifest.validate.manifest import validate
from pipeline.records import Reason, Source
from pipeline.runner import events
from pipeline.runner.build import Build, last_config, open_build
from pipeline.runner.engine import Chain, Here, through
from pipeline.runner.plan import Shard
from pipeline.runner.run_stage import Cancelled
from pipeline.stages.sources import Sources


def opened(folder: Path, stages: Any = None, **changes: Any) -> Build:
    """A build of ``folder/in`` with 3 x 4 variations a source."""
    values: dict[str, Any] = {
        "sources": (str(folder / "in"),),
        "manifest": str(folder / "out" / "v1.parquet"),
        "work": str(folder / "work"),
        "subjects": 3,
        "backgrounds": 4,
    }
    return open_build(build_config(**{**values, **changes}), [Sources(size=SIZE), *(stages or recipe())])


def files(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*.parquet")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "in", 5)
    return tmp_path


def test_an_extractor_is_wanted_only_where_no_file_has_the_poses(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPOTDIFF_MODELS", str(folder / "nothing-fetched"))
    poses = _pose_file(folder, "00000.png")
    told: dict[str, Any] = {"sources": (str(folder / "in"),), "profile": "photos"}
    with pytest.raises(UserError, match="spotdiff models fetch photos"):
        open_build(build_config(**told))
    build = open_build(build_config(**told, poses=poses))
    assert "pose" in build.fingerprints
    assert "extractor" not in build.fingerprints


def test_a_build_gives_a_sound_manifest(folder: Path) -> None:
    outcome = build_manifest(opened(folder))
    assert (outcome.sources, outcome.rows, outcome.problem) == (5, 5 * 3 * 4, None)
    assert outcome.counts == {
        "sources": {"ok": 5},
        "poses": {"ok": 5},
        "subjects": {"ok": 15},
        "variations": {"ok": 60},
    }
    assert Manifest(outcome.manifest).digest == outcome.digest
    assert validate(outcome.manifest) == []


@pytest.mark.parametrize("shard_size", [1, 3, 5])
def test_shards_and_their_order_do_not_show(folder: Path, shard_size: int) -> None:
    @Here
    def backwards(shards: Any, steps: Any) -> list[Chain]:
        return [through(shard, steps) for shard in reversed(shards)][::-1]

    one = build_manifest(opened(folder))
    other = build_manifest(opened(folder, shard_size=shard_size, work=str(folder / "other")), backwards)
    assert one.digest == other.digest


def test_another_shard_size_computes_nothing_again(folder: Path) -> None:
    build_manifest(opened(folder))
    stages = recipe()
    outcome = build_manifest(opened(folder, stages, shard_size=3))
    assert outcome.rows == 60
    assert [stage.calls for stage in stages[1:]] == [[], []]


def test_looking_computes_and_writes_nothing(folder: Path) -> None:
    stages = recipe()
    build = opened(folder, stages)
    assert not build.complete(build.scan())
    assert not (folder / "work").exists()
    build_manifest(build)
    before = files(folder)
    stages[1].calls.clear()
    found = build.scan()
    assert build.complete(found)
    assert written(build, found)
    assert finish(build, found).rows == 60
    assert files(folder) == before
    assert stages[1].calls == []


def test_half_a_build_is_seen_as_half(folder: Path) -> None:
    @Here
    def only_the_first(shards: Any, steps: Any) -> list[Chain]:
        return [through(shard, steps if shard is shards[0] else steps[:1]) for shard in shards]

    build = opened(folder)
    with pytest.raises(AssertionError):
        build_manifest(build, only_the_first)
    found = build.scan()
    assert [len(chain) for chain in found.chains] == [4, 2, 2]
    assert found.counts()[0]["variations"] == {"ok": 24}
    assert not build.complete(found)


@pytest.mark.parametrize("lost", ["manifest", "rejected"])
def test_a_lost_manifest_is_written_again_from_the_fragments(folder: Path, lost: str) -> None:
    first = build_manifest(opened(folder))
    Path(getattr(first, lost)).unlink()
    stages = recipe()
    build = opened(folder, stages)
    again = finish(build, build.scan())
    assert replace(again, rejected=first.rejected) == first  # the list's name holds the generation
    assert Path(getattr(again, lost)).exists()
    assert stages[2].calls == []


def test_new_sources_make_a_new_manifest(folder: Path) -> None:
    first = build_manifest(opened(folder))
    write_pictures(folder / "in", 1, first=90)
    build = opened(folder)
    assert not build.complete(build.scan())
    second = build_manifest(build)
    assert (second.rows, second.digest == first.digest) == (72, False)


def test_duplicates_are_left_out_and_counted(folder: Path) -> None:
    (folder / "in" / "again.png").write_bytes((folder / "in" / "00002.png").read_bytes())
    outcome = build_manifest(opened(folder))
    assert outcome.rows == 60
    assert outcome.counts["sources"] == {"ok": 5, "rejected": 1}
    assert outcome.reasons["sources"] == {"duplicate": 1}


def test_too_many_failures_are_a_problem_and_the_good_rows_are_kept(folder: Path) -> None:
    broken = folder / "broken"
    broken.touch()
    options = {"subjects": {"fails": 2, "broken": str(broken)}}
    outcome = build_manifest(opened(folder, recipe(**options)))
    failed = outcome.counts["subjects"]["failed"]
    assert failed
    assert outcome.problem is not None
    assert outcome.problem.startswith(f"{failed} of 15 rows of stage subjects failed")
    assert Manifest(outcome.manifest).rows == outcome.rows == (15 - failed) * 4

    assert build_manifest(opened(folder, recipe(**options), max_failure_rate=0.99)).problem is None

    broken.unlink()
    retried = recipe(**options)
    mended = build_manifest(opened(folder, retried, retry="failed"))
    assert (mended.rows, mended.problem) == (60, None)
    assert len(retried[1].calls) == failed


def test_nothing_accepted_is_a_problem(folder: Path) -> None:
    outcome = build_manifest(opened(folder, recipe(variations={"rejects": 1})))
    assert outcome.rows == 0
    assert outcome.problem == f"nothing was accepted (60 degenerate); see {outcome.rejected}"


def test_only_bad_files_is_a_problem_that_names_the_reasons(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name, data in {"a.jpg": b"", "b.jpg": b"no picture", "c.png": b"neither"}.items():
        (tmp_path / "in" / name).write_bytes(data)
    outcome = build_manifest(opened(tmp_path))
    assert outcome.problem is not None
    assert "2 unreadable, 1 empty_file" in outcome.problem


def test_engines_get_each_stage_by_name_and_each_shard(folder: Path) -> None:
    seen: Counter[tuple[str, str]] = Counter()

    @Here
    def counting(shards: Any, tasks: Any) -> list[Chain]:
        def run(shard: Shard) -> Chain:
            for task in tasks:
                seen[task.name, shard.name] += 1
            return through(shard, tasks)

        return [run(shard) for shard in shards]

    build_manifest(opened(folder), counting)
    names = ("sources", "poses", "subjects", "variations")
    assert seen == Counter({(name, f"{n:06d}"): 1 for name in names for n in range(3)})


def test_the_run_remembers_what_it_was_told(folder: Path) -> None:
    build = opened(folder, recipe(), seed=7, retry="failed")
    build_manifest(build)
    told = last_config(build.config.manifest, build.config.work)
    assert told == build.config.model_copy(update={"retry": None})
    with pytest.raises(UserError, match=r"no build of other\.parquet was started"):
        last_config("other.parquet", build.config.work)
    with pytest.raises(UserError, match=r"no build of elsewhere/v1\.parquet was started"):
        last_config("elsewhere/v1.parquet", build.config.work)


def test_manifests_of_one_stem_do_not_share_a_run(folder: Path) -> None:
    one = build_manifest(opened(folder))
    stages = recipe()
    other = build_manifest(opened(folder, stages, manifest=str(folder / "elsewhere" / "v1.parquet")))
    assert len(list((folder / "work").glob("v1-*"))) == 2
    assert isinstance(stages[2], ToyVariations)
    assert len(stages[2].calls) == 60
    assert (one.digest, Manifest(one.manifest).footer["run"]) == (other.digest, Manifest(other.manifest).footer["run"])


def test_a_run_is_found_from_wherever_its_manifest_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    build = opened(folder, recipe(), manifest="out/v1.parquet", work="work")
    build_manifest(build)
    monkeypatch.chdir(folder / "out")
    told = last_config("v1.parquet", "../work")
    assert told.run == build.config.run
    assert told.manifest == "v1.parquet"


def test_a_name_that_cannot_be_written_is_refused_at_once(folder: Path) -> None:
    with pytest.raises(UserError, match=r"must end in \.parquet"):
        opened(folder, manifest="v1.csv")


def test_a_cancelled_build_goes_on_where_it_was(folder: Path) -> None:
    def stop(news: events.Progress) -> None:
        if news.stage == "variations" and news.shard == "000001":
            raise Cancelled

    @Here
    def stopping(shards: Any, tasks: Any) -> list[Chain]:
        return [through(shard, tasks, stop) for shard in shards]

    with pytest.raises(Cancelled):
        build_manifest(opened(folder), stopping)
    before = files(folder)
    stages = recipe()
    outcome = build_manifest(opened(folder, stages))
    assert (
        outcome.digest
        == build_manifest(opened(folder, work=str(folder / "calm"), manifest=str(folder / "calm.parquet"))).digest
    )
    assert before.items() <= files(folder).items()
    variations = stages[2]
    assert isinstance(variations, ToyVariations)
    assert len(variations.calls) == 36


def _pose_file(folder: Path, *names: str) -> str:
    images = [{"id": name, "file_name": name} for name in names]
    (folder / "poses.json").write_text(json.dumps({"images": images, "annotations": []}))
    return str(folder / "poses.json")


def test_a_pose_file_that_speaks_of_no_source_stops_before_anything_is_read(folder: Path) -> None:
    with pytest.raises(UserError, match=r"has no entry for any source: it names e\.g\. 'x\.png'"):
        opened(folder, poses=_pose_file(folder, "x.png"))
    assert not (folder / "work").exists()


def test_the_annotated_one_of_equal_sources_is_built_from(folder: Path) -> None:
    (folder / "in" / "00000-copy.png").write_bytes((folder / "in" / "00003.png").read_bytes())
    build = opened(folder, poses=_pose_file(folder, *(f"{n:05d}.png" for n in range(5))))
    assert build_manifest(build).reasons["sources"] == {"duplicate": 1}
    assert build.scan().duplicates.found == {"00000-copy.png": (Reason.DUPLICATE, "00003.png")}  # type: ignore[union-attr]


def test_another_pose_file_reads_no_source_again(folder: Path) -> None:
    from pipeline.runner import events

    build_manifest(opened(folder, poses=_pose_file(folder, "00000.png", "00001.png")))
    build = opened(folder, poses=_pose_file(folder, "00000.png", "00003.png"))
    heard: list[events.Progress] = []
    with events.listening(heard.append):
        build_manifest(build)
    assert sum(news.reused for news in heard if news.stage == "sources" and news.finished) == 5
    rows = [row for chain in build.scan().chains for row in build.ledger.read(chain[0], Source)]
    assert [row.pose_entry for row in rows] == ["00000.png", None, None, "00003.png", None]
