"""The recipe: four stages whose settings say what their results depend on; made without loading anything heavy."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from standins import profile

from pipeline.config import Profile, UserError, build_config
from pipeline.records import Posed, Source, Subject, Variation
from pipeline.stages.base import Stage
from pipeline.stages.recipe import recipe


def stages(made: Profile, root: Path, **changes: Any) -> list[Stage]:
    told = {"sources": ("photos",), "manifest": "v1.parquet", "models_root": str(root), **changes}
    return recipe(made, build_config(**told))


def settings(made: Profile, root: Path, **changes: Any) -> list[str]:
    return [json.dumps(stage.settings()) for stage in stages(made, root, **changes)]


def test_the_stages_in_order(standins: Path) -> None:
    made = stages(profile(standins), standins)
    assert [stage.name for stage in made] == ["sources", "poses", "subjects", "variations"]
    assert [stage.row for stage in made] == [Source, Posed, Subject, Variation]
    for stage in made:
        assert stage.adds
        assert {field.name for field in dataclasses.fields(stage.row)} >= {*stage.adds}


def test_every_field_of_the_rows_is_added_by_a_stage(standins: Path) -> None:
    added = {name for stage in stages(profile(standins), standins) for name in stage.adds}
    given = {"path", "pose_entry", "status", "reason", "error", "detail", "slot_digest"}
    given |= {"source_license", "source_attribution", "source_uri", "nsfw"}
    assert {field.name for field in dataclasses.fields(Variation)} == added | given


@pytest.mark.parametrize(
    ("changes", "moved"),
    [
        ({}, [0, 0, 0, 0]),
        ({"sources": {"min_side": 40}}, [1, 0, 0, 0]),
        ({"poses": {"min_keypoints": 9}}, [0, 1, 0, 0]),
        ({"subjects": {"guidance_scale": 3.0}}, [0, 0, 1, 0]),
        ({"subjects": {"max_attempts": 9}}, [0, 0, 1, 0]),
        ({"masks": {"box_margin": 0.2}}, [0, 0, 1, 0]),
        ({"quality": {"min_pose_score": 0.9}}, [0, 0, 1, 0]),
        ({"quality": {"min_sibling_distance": 9}}, [0, 0, 1, 0]),
        ({"quality": {"min_subject_kept": 0.5}}, [0, 0, 0, 1]),
        ({"backgrounds": {"feather": 0.5}}, [0, 0, 0, 1]),
        ({"backgrounds": {"max_attempts": 9}}, [0, 0, 0, 1]),
        ({"scheduler": {"name": "DDIMScheduler"}}, [0, 0, 1, 1]),
    ],
)
def test_a_setting_moves_the_stages_that_read_it(standins: Path, changes: dict[str, Any], moved: list[int]) -> None:
    before = settings(profile(standins), standins)
    after = settings(profile(standins, **changes), standins)
    assert [int(one != other) for one, other in zip(before, after, strict=True)] == moved


@pytest.mark.parametrize(
    ("changes", "moved"),
    [
        ({"seed": 1}, [0, 1, 1, 1]),
        ({"subjects": 3}, [0, 0, 1, 0]),
        ({"backgrounds": 3}, [0, 0, 0, 1]),
        ({"shard_size": 5}, [0, 0, 0, 0]),
        ({"work": "elsewhere", "manifest": "v2.parquet", "max_failure_rate": 0.5}, [0, 0, 0, 0]),
    ],
)
def test_what_a_build_is_told_moves_what_depends_on_it(
    standins: Path, changes: dict[str, Any], moved: list[int]
) -> None:
    made = profile(standins)
    before, after = settings(made, standins), settings(made, standins, **changes)
    assert [int(one != other) for one, other in zip(before, after, strict=True)] == moved


def test_a_missing_bank_is_the_user_s_mistake(standins: Path) -> None:
    made = profile(standins).model_copy(update={"subject_bank": "nowhere.json"})
    with pytest.raises(UserError, match=r"nowhere\.json"):
        stages(made, standins)


def test_nothing_heavy_is_loaded_for_a_recipe(standins: Path) -> None:
    code = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from standins import profile
from pipeline.config import build_config
from pipeline.stages.recipe import recipe
root = Path({str(standins)!r})
made = recipe(profile(root), build_config(sources=("a",), manifest="m.parquet", models_root=str(root)))
assert [stage.settings() for stage in made]
print(sorted({{"torch", "diffusers", "transformers", "cv2", "prefect", "scipy"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
