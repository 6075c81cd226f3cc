"""What a build is told: the run's name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.config import build_config


def run_of(manifest: str | Path, work: str | Path = "work") -> str:
    return build_config(sources=(), manifest=str(manifest), work=str(work)).run


def test_a_run_is_named_by_the_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = run_of("a/v1.parquet")
    stem, digits = name.rsplit("-", 1)
    assert stem == "v1"
    assert len(digits) == 8
    assert run_of("b/v1.parquet") != name
    for spelling in (
        "./a/v1.parquet",
        "a/../a//v1.parquet",
        tmp_path / "a" / "v1.parquet",
        f"file://{tmp_path}/a/v1.parquet",
    ):
        assert run_of(spelling) == name
    os.symlink(tmp_path / "a", tmp_path / "link")
    assert run_of("link/v1.parquet") == name


def test_manifest_and_work_can_be_moved_together(tmp_path: Path) -> None:
    names = {run_of(tmp_path / at / "data" / "v1.parquet", tmp_path / at / "work") for at in ("here", "there")}
    assert len(names) == 1


def test_urls(tmp_path: Path) -> None:
    assert run_of("s3://b/a/v1.parquet", "s3://b/work") == run_of("s3://b//a/./v1.parquet", tmp_path)
    assert run_of("s3://b/a/v1.parquet") != run_of("s3://c/a/v1.parquet")
