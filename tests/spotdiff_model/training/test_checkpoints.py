"""Which settings may differ where a training is resumed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import UserError
from spotdiff_model.config import TrainConfig
from spotdiff_model.training.checkpoints import to_resume

CONFIG = TrainConfig(manifest="v1.parquet")
FREE = {
    "manifest": "moved.parquet", "output_dir": "elsewhere", "cache_dir": "cache", "models_root": "models",
    "checkpointing_steps": 7, "checkpoints_total_limit": 9, "resume_from_checkpoint": "latest", "report_to": "none",
    "validation_steps": 3, "num_validation_images": 1, "push_to_hub": True, "hub_model_id": "me/encoder",
}  # fmt: skip
OTHER = {
    "lr_scheduler": "linear", "mixed_precision": "bf16", "reference": "same", "layers": (0, 1), "experts": False,
    "project": False, "subject_contrast": "near-identity", "pose_pictures": "poses.json",
    "encoder_name_or_path": "package:tiny",
}  # fmt: skip


def _saved(folder: Path, config: dict[str, Any]) -> None:
    (folder / "checkpoint-2").mkdir(exist_ok=True)
    state = {"step": 2, "manifest_digest": "abc", "config": config}
    (folder / "checkpoint-2" / "trainer_state.json").write_text(json.dumps(state))


def test_where_things_lie_and_what_is_shown_may_change(tmp_path: Path) -> None:
    _saved(tmp_path, CONFIG.model_dump(mode="json"))
    assert to_resume(tmp_path, "latest", CONFIG.model_copy(update=FREE), "abc") == (tmp_path / "checkpoint-2", 2)


@pytest.mark.parametrize("state", ["", "{", "[" * 100_000])
def test_a_state_that_cannot_be_read_is_one_line(tmp_path: Path, state: str) -> None:
    _saved(tmp_path, {})
    (tmp_path / "checkpoint-2" / "trainer_state.json").write_text(state)
    with pytest.raises(UserError, match="not a checkpoint of a training"):
        to_resume(tmp_path, "latest", CONFIG, "abc")


@pytest.mark.parametrize("name", sorted(TrainConfig.model_fields.keys() - FREE.keys()))
def test_every_other_setting_must_agree(name: str, tmp_path: Path) -> None:
    _saved(tmp_path, CONFIG.model_dump(mode="json"))
    changed = OTHER[name] if name in OTHER else getattr(CONFIG, name) + 1
    with pytest.raises(UserError, match=f"was trained with {name} "):
        to_resume(tmp_path, "latest", CONFIG.model_copy(update={name: changed}), "abc")


def test_a_checkpoint_of_an_earlier_version_goes_on(tmp_path: Path) -> None:
    old = CONFIG.model_dump(mode="json")
    old["views"], old["num_words"] = old.pop("augmentations"), old.pop("num_pseudo_tokens")
    _saved(tmp_path, old)
    assert to_resume(tmp_path, "latest", CONFIG, "abc") is not None
    _saved(tmp_path, {**old, "long_gone": 1})
    with pytest.raises(UserError, match=r"is of another version .*long_gone"):
        to_resume(tmp_path, "latest", CONFIG, "abc")
