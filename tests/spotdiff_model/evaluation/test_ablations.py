"""Ablations: one thing changed at a time, trained once, found again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pipeline.config import UserError
from spotdiff_model import trainer
from spotdiff_model.config import TrainConfig
from spotdiff_model.evaluation.ablations import ABLATIONS, TRAIN_CONFIG, WEIGHTS, ablation_runs, base_config, trained

BASE = TrainConfig(manifest="v1.parquet", output_dir="work/encoder", max_train_steps=50, learning_rate=3e-4)
PLACES = {
    "output_dir",
    "cache_dir",
    "max_train_steps",
    "checkpoints_total_limit",
    "num_validation_images",
    "report_to",
    "seed",
}


def test_ablations_differ_from_the_model_in_what_they_are_named_for(tmp_path):
    runs = {ablation.name: configs for ablation, configs in ablation_runs(BASE, [0, 1, 2], tmp_path, 7)}
    assert set(runs) == {
        "complete", "no-orthogonality", "no-experts", "no-independence", "reference-same", "orthogonality-only"
    }  # fmt: skip
    for ablation in ABLATIONS:
        assert [config.seed for config in runs[ablation.name]] == [0, 1, 2]
        for config in runs[ablation.name]:
            changed = {name for name, value in config if value != getattr(BASE, name)} - PLACES
            assert changed == set(ablation.changes)
            assert config.max_train_steps == 7
            assert config.cache_folder == BASE.cache_folder  # frozen features are computed once for all
    folders = [config.output_dir for configs in runs.values() for config in configs]
    assert len(set(folders)) == len(folders)


def test_a_training_is_done_once_and_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    resumed = []

    def train(config, upto=None):
        """Leaves what a training leaves; ``upto``: stopped after that many steps."""
        resumed.append(config.resume_from_checkpoint)
        folder = Path(config.output_dir)
        shutil.rmtree(folder, ignore_errors=True)
        step = upto or config.max_train_steps
        state = {"step": step, "manifest_digest": digest, "config": config.model_dump(mode="json")}
        (folder / f"checkpoint-{step}").mkdir(parents=True)
        (folder / f"checkpoint-{step}" / "trainer_state.json").write_text(json.dumps(state))
        if not upto:
            (folder / WEIGHTS).touch()
        return folder

    monkeypatch.setattr(trainer, "train", train)
    digest, config = "a" * 64, BASE.model_copy(update={"output_dir": str(tmp_path / "one")})
    train(config, upto=20)
    assert trained(config, digest) == trained(config, digest) == tmp_path / "one"
    assert resumed == [None, "latest"]  # gone on with, then found whole
    (tmp_path / "one" / WEIGHTS).unlink()  # stopped between the last step and the end
    trained(config, digest)
    assert resumed[2:] == ["latest"]
    trained(config.model_copy(update={"seed": 1}), digest)
    assert resumed[3:] == [None]
    digest = "b" * 64
    trained(config.model_copy(update={"seed": 1}), digest)  # the manifest was built again
    assert resumed[4:] == [None]


def test_the_models_own_settings_are_the_base(tmp_path):
    (tmp_path / TRAIN_CONFIG).write_text(BASE.model_dump_json())
    found = base_config(str(tmp_path), "other.parquet")
    assert found.learning_rate == BASE.learning_rate and found.manifest == "other.parquet"
    with pytest.raises(UserError, match=r"--ablations: no .*train_config\.json"):
        base_config(str(tmp_path / "none"), "v1.parquet")
    (tmp_path / TRAIN_CONFIG).write_text('{"manifest": "v1.parquet", "long_gone": 1}')
    with pytest.raises(UserError, match="not of this version"):
        base_config(str(tmp_path), "v1.parquet")
