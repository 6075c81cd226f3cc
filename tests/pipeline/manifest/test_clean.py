"""Cleaning: pictures go from the work folder once the manifest is proved, and nothing is lost by it."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy_stages import SIZE, recipe, write_pictures

from pipeline import store
from pipeline.config import UserError, build_config
from pipeline.manifest.clean import clean
from pipeline.manifest.finish import build_manifest, finish, written
from pipeline.manifest.validate.manifest import validate
from pipeline.runner.build import Build, open_build
from pipeline.runner.ledger import shared_ledger
from pipeline.stages.sources import Sources


@pytest.fixture(params=["disk", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(request.getfixturevalue("s3")) if request.param == "s3" else str(tmp_path)


def open_toy(root: str, pictures: Path, backgrounds: int = 4) -> Build:
    config = build_config(
        sources=(str(pictures),),
        manifest=f"{root}/toy.parquet",
        work=f"{root}/work",
        subjects=3,
        backgrounds=backgrounds,
    )
    shared_ledger.cache_clear()
    return open_build(config, [Sources(size=SIZE), *recipe(variations={"count": backgrounds})])


def fragments(build: Build) -> list[str]:
    return [
        path for stage in build.stages for path in store.list_files(f"{build.ledger.root}/{stage.name}", ".parquet")
    ]


def test_a_cleaned_build_is_smaller_and_still_finished(root: str, tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path / "in", 3)
    build = open_toy(root, pictures)
    digest = build_manifest(build).digest
    before = sum(map(store.size, fragments(build)))
    done = clean(open_toy(root, pictures))
    build = open_toy(root, pictures)
    after = sum(map(store.size, fragments(build)))
    assert (done.emptied, done.removed, done.freed) == (8, 0, before - after)
    assert after < before
    found = build.scan()
    assert build.complete(found)
    assert written(build, found)
    assert finish(build, found).digest == digest
    assert clean(open_toy(root, pictures)).emptied == 0


def test_a_build_of_other_settings_makes_again_what_it_needs(tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path / "in", 3)
    build_manifest(open_toy(str(tmp_path), pictures))
    clean(open_toy(str(tmp_path), pictures))
    digest = build_manifest(open_toy(str(tmp_path), pictures, backgrounds=5)).digest
    assert not validate(f"{tmp_path}/toy.parquet")
    calm = tmp_path / "calm"
    assert build_manifest(open_toy(str(calm), pictures, backgrounds=5)).digest == digest
    assert clean(open_toy(str(tmp_path), pictures, backgrounds=5)).removed > 0


def test_nothing_is_dropped_of_what_is_not_finished_or_not_sound(tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path / "in", 3)
    build = open_toy(str(tmp_path), pictures)
    build.run()
    there = {path: store.size(path) for path in fragments(build)}
    with pytest.raises(UserError, match="not finished"):
        clean(build)
    build_manifest(build)
    manifest = tmp_path / "toy.parquet"
    data = bytearray(manifest.read_bytes())
    data[len(data) // 2] ^= 1
    manifest.write_bytes(data)
    with pytest.raises(UserError, match=r"nothing was dropped|not finished"):
        clean(open_toy(str(tmp_path), pictures))
    assert {path: store.size(path) for path in fragments(build)} == there
