"""Profiles that extend others: sections field by field, fields as a whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config import UserError, load_profile, shipped_profiles


def write(path: Path, text: str) -> str:
    path.write_text(text, "utf-8")
    return str(path)


def test_what_a_profile_says_goes_on_top_of_its_base(tmp_path: Path) -> None:
    text = 'extends = "tiny"\nname = "mine"\n[models]\npose = { repo = "a/pose", license = "MIT", kind = "openpose" }\n'
    mine, tiny = (
        load_profile(write(tmp_path / "mine.toml", text + "[subjects]\nbatch_size = 3\n")),
        load_profile("tiny"),
    )
    assert (mine.name, mine.subjects.batch_size) == ("mine", 3)
    assert mine.subjects.model_copy(update={"batch_size": tiny.subjects.batch_size}) == tiny.subjects
    assert mine.models.pose.checkpoint is None  # not the checkpoint of the model that it replaces
    assert mine.models.model_copy(update={"pose": tiny.models.pose}) == tiny.models
    assert mine.quality == tiny.quality


def test_a_base_may_have_a_base(tmp_path: Path) -> None:
    base = write(tmp_path / "base.toml", 'extends = "tiny"\nname = "base"\n[quality]\nmin_pose_score = 0.1\n')
    top = write(tmp_path / "top.toml", f'extends = "{base}"\nname = "top"\n[quality]\nmin_mask_score = 0.2\n')
    quality = load_profile(top).quality
    assert (quality.min_pose_score, quality.min_mask_score) == (0.1, 0.2)
    assert quality.max_mask_area == load_profile("tiny").quality.max_mask_area


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('extends = "huge"', "profile 'huge': No such file or directory; shipped profiles: .*tiny"),
        ("extends = 3", r"extends: must be a profile's name \(got '3'\)"),
        ('extends = "tiny"\nsources = 3', r"profile .*mine\.toml: sources: .*\(got '3'\)"),
        ('extends = "tiny"\n[sources]\nside = 3', r"profile .*mine\.toml: sources\.side: Extra inputs"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        load_profile(write(tmp_path / "mine.toml", text))


def test_a_circle_is_named(tmp_path: Path) -> None:
    one, other = tmp_path / "one.toml", tmp_path / "other.toml"
    write(one, f'extends = "{other}"')
    write(other, f'extends = "{one}"')
    with pytest.raises(UserError, match=r"one\.toml: extends itself"):
        load_profile(str(one))


def test_photos_is_tiny_with_another_extractor() -> None:
    photos, tiny = load_profile("photos"), load_profile("tiny")
    assert {"photos", "tiny"} <= {*shipped_profiles()}
    assert photos.models.model_copy(update={"extractor": None}) == tiny.models
    assert photos.models.extractor is not None
    assert photos.models.extractor.license == "Apache-2.0"
    same = {"models", "name", "description", "sources"}
    assert photos.model_dump(exclude=same) == tiny.model_dump(exclude=same)
    assert (photos.sources.size, photos.sources.extractor_size) == (tiny.sources.size, 640)
