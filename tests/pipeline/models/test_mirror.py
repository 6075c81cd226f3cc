"""What a build is told, and models, from an object store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline import banks, store
from pipeline.config import PROFILES, ModelRef, UserError, load_profile
from pipeline.inputs.pose_file import read_pose_file
from pipeline.models.mirror import mirrored
from pipeline.models.resolve import Model


@pytest.fixture(autouse=True)
def own_models_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPOTDIFF_MODELS", str(tmp_path / "models"))


def test_profile_banks_and_poses(s3: str) -> None:
    entries = [{"id": "a", "prompt": "a knight", "split": "train"}]
    store.write_bytes(f"{s3}/lab/subjects.json", json.dumps(entries).encode())
    store.write_bytes(f"{s3}/lab/base.toml", b'extends = "tiny"\nname = "base"\n')
    text = f'extends = "{s3}/lab/base.toml"\nname = "lab"\nsubject_bank = "{s3}/lab/subjects.json"\n'
    store.write_bytes(f"{s3}/lab/lab.toml", text.encode())
    profile = load_profile(f"{s3}/lab/lab.toml")
    assert (profile.name, profile.sources) == ("lab", load_profile("tiny").sources)
    bank = banks.load(profile.subject_bank)
    assert (bank.name, [entry.id for entry in bank.entries]) == ("subjects.json", ["a"])
    example = PROFILES.parents[1] / "examples" / "sources" / "poses.json"
    store.write_bytes(f"{s3}/poses.json", example.read_bytes())
    assert read_pose_file(f"{s3}/poses.json").entries.keys() == read_pose_file(str(example)).entries.keys()


def test_what_is_not_there_is_named(s3: str) -> None:
    with pytest.raises(UserError, match=r"profile 's3://bucket-\d+/no\.toml'"):
        load_profile(f"{s3}/no.toml")
    with pytest.raises(UserError, match=r"bank 's3://bucket-\d+/no\.json'"):
        banks.load(f"{s3}/no.json")
    ref = ModelRef(repo="lab/clip", license="MIT")
    with pytest.raises(UserError, match="no revision"):
        Model(ref, f"{s3}/models").fingerprint()


def test_a_model_of_an_object_store_is_the_same_as_on_disk(s3: str, tmp_path: Path) -> None:
    there = tmp_path / "root" / "lab" / "clip"
    for name, data in {"config.json": b"{}", "sub/model.safetensors": b"w" * 3000, "readme.md": b"-"}.items():
        store.write_bytes(str(there / name), data)
        store.write_bytes(f"{s3}/models/lab/clip/{name}", data)
    ref = ModelRef(repo="lab/clip", license="MIT")
    local, remote = Model(ref, str(tmp_path / "root")), Model(ref, f"{s3}/models")
    assert remote.fingerprint() == local.fingerprint()
    assert (remote.folder() / "sub" / "model.safetensors").read_bytes() == b"w" * 3000
    part = ModelRef(repo="lab/clip", subfolder="sub", license="MIT")
    assert [path.name for path in Model(part, f"{s3}/models").folder().iterdir()] == ["model.safetensors"]


def test_what_changed_there_is_copied_again_and_nothing_else(s3: str, tmp_path: Path) -> None:
    url, cache = f"{s3}/models/a/b", tmp_path / "cache"
    for name in ("one.json", "two.json", "gone.json"):
        store.write_bytes(f"{url}/{name}", name.encode())
    copy = mirrored(url, cache)
    assert copy
    before = {path.name: path.stat().st_mtime_ns for path in copy.iterdir()}
    assert set(before) == {"one.json", "two.json", "gone.json"}
    store.write_bytes(f"{url}/two.json", b"another")
    store.remove(f"{url}/gone.json")
    mirrored.cache_clear()
    assert mirrored(url, cache) == copy
    after = {path.name: path.stat().st_mtime_ns for path in copy.iterdir()}
    assert set(after) == {"one.json", "two.json"}
    assert after["one.json"] == before["one.json"]
    assert (copy / "two.json").read_bytes() == b"another"
