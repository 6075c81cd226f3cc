"""What is wrong is told before the first picture is opened, with the field or file and the remedy."""

from __future__ import annotations

import json
import logging
import shutil
import tomllib
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
from toy_stages import SIZE, recipe, write_pictures

from pipeline.config import PROFILES, UserError, build_config, load_profile
from pipeline.runner.build import Build, open_build
from pipeline.runner.preflight import check
from pipeline.stages.sources import Sources

Usage = namedtuple("Usage", "total used free")


def opened(folder: Path, **changes: Any) -> Build:
    told = {
        "sources": (str(write_pictures(folder / "in", 2)),),
        "manifest": str(folder / "out" / "m.parquet"),
        "work": str(folder / "work"),
        **changes,
    }
    return open_build(build_config(**told), [Sources(size=SIZE), *recipe()])


def checked(folder: Path, **changes: Any) -> None:
    build = opened(folder, **changes)
    check(build, build.scan())


def profile(folder: Path, old: str, new: str) -> str:
    """The profile ``tiny`` with one change."""
    text = (PROFILES / "tiny.toml").read_text()
    assert old in text
    path = folder / "changed.toml"
    path.write_text(text.replace(old, new))
    return str(path)


def test_what_is_sound_passes_and_leaves_nothing_behind(tmp_path: Path) -> None:
    checked(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"in"}


@pytest.mark.parametrize(("content", "said"), [(None, "No such file"), ("{", "not a COCO-keypoints JSON")])
def test_a_pose_file_that_cannot_be_read(content: str | None, said: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "poses.json").write_text(content)
    with pytest.raises(UserError, match=rf"poses: .*poses.json: .*{said}"):
        checked(tmp_path, poses=str(tmp_path / "poses.json"))


@pytest.mark.parametrize(
    ("option", "bank", "there"), [("subjects", "tiny_subjects.json", 30), ("backgrounds", "tiny_backgrounds.json", 10)]
)
def test_a_bank_that_is_too_small_for_a_split(option: str, bank: str, there: int, tmp_path: Path) -> None:
    said = rf"bank {bank}: its validation part holds {there} entries, {there + 1} were asked for"
    with pytest.raises(UserError, match=said):
        checked(tmp_path, **{option: there + 1})


def test_a_split_without_sources_asks_nothing_of_a_bank(tmp_path: Path) -> None:
    entries = json.loads((PROFILES / "tiny_subjects.json").read_text())
    (tmp_path / "bank.json").write_text(json.dumps([entry for entry in entries if entry["split"] == "train"]))
    path = profile(tmp_path, '"tiny_subjects.json"', json.dumps(f"{tmp_path}/bank.json"))
    with pytest.raises(UserError, match=r"bank bank\.json: its validation part holds 0 entries"):
        checked(tmp_path, profile=path)
    with open(path, "a") as file:
        file.write("\n[splits]\nvalidation = 0\ntest = 0\n")
    checked(tmp_path, profile=path)


@pytest.mark.parametrize("field", ["manifest", "work"])
def test_a_file_where_a_folder_belongs(field: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    place = {"manifest": str(tmp_path / "file" / "m.parquet"), "work": str(tmp_path / "file")}[field]
    with pytest.raises(UserError, match=rf"{field}: cannot write to .*file: Not a directory; .* --{field}"):
        checked(tmp_path, **{field: place})


@pytest.mark.parametrize("field", ["manifest", "work"])
def test_a_folder_that_nobody_can_write_to(field: str, tmp_path: Path) -> None:
    place = {"manifest": "/proc/spotdiff/m.parquet", "work": "/proc/spotdiff"}[field]
    with pytest.raises(UserError, match=rf"{field}: cannot write to /proc/spotdiff: .*; .* --{field}"):
        checked(tmp_path, **{field: place})


def test_a_folder_where_the_manifest_belongs(tmp_path: Path) -> None:
    (tmp_path / "m.parquet").mkdir()
    with pytest.raises(UserError, match=r"manifest .*m\.parquet: a folder has that name; move it away"):
        checked(tmp_path, manifest=str(tmp_path / "m.parquet"))


@pytest.mark.parametrize(("free", "refused"), [(10**6, False), (10**4, True)])
def test_too_little_space(
    free: int, refused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """200 pictures of 64 x 64 pixels, in both places: some 2.5 MB."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 0, free))
    said = "work and manifest: about 0.00246 GB are wanted for 200 pictures"
    if refused:
        with pytest.raises(UserError, match=said):
            checked(tmp_path)
        return
    with caplog.at_level(logging.WARNING, "pipeline"):
        checked(tmp_path)
    assert said in caplog.text


@pytest.mark.parametrize(
    ("template", "known"),
    [
        ("{subjekt}", "{subject}"), ("{}", "{subject}"), ("{subject", "{subject}"), ("{subject.x}", "{subject}"),
        ("{background}", "{subject}"), ("{0}", "{subject}"),
    ],
)  # fmt: skip
def test_a_template_with_an_unknown_placeholder(template: str, known: str, tmp_path: Path) -> None:
    data = tomllib.loads((PROFILES / "tiny.toml").read_text())
    line = f"prompt_template = {json.dumps(data['subjects']['prompt_template'])}"
    path = profile(tmp_path, line, f"prompt_template = {json.dumps(template)}")
    with pytest.raises(UserError, match=rf"changed\.toml: subjects\.prompt_template: only {known} may stand in braces"):
        load_profile(path)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a = " + b"[" * 100_000])
def test_a_profile_that_is_no_toml(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_bytes(content)
    with pytest.raises(UserError, match=r"p\.toml: not valid TOML"):
        load_profile(str(tmp_path / "p.toml"))
