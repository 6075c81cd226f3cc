"""Ablations: one thing changed at a time, trained once, found again."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config import UserError
from spotdiff_model import training
from spotdiff_model.config import TrainConfig
from spotdiff_model.judgement.ablations import ABLATIONS, TRAIN_CONFIG, WEIGHTS, ablation_runs, base_config, trained

BASE = TrainConfig(manifest="v1.parquet", output_dir="work/encoder", max_train_steps=50, learning_rate=3e-4)
PLACES = {
    "output_dir",
    "cache_dir",
    "max_train_steps",
    "checkpointing_steps",
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


def test_a_training_is_done_once_per_config(tmp_path, monkeypatch):
    done = []

    def train(config):
        done.append(config)
        folder = Path(config.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / WEIGHTS).touch()
        (folder / TRAIN_CONFIG).write_text(config.model_dump_json(indent=1))
        return folder

    monkeypatch.setattr(training, "train", train, raising=False)
    config = BASE.model_copy(update={"output_dir": str(tmp_path / "one")})
    assert trained(config) == trained(config) == tmp_path / "one"
    assert len(done) == 1
    trained(config.model_copy(update={"seed": 1}))
    assert len(done) == 2


def test_the_models_own_settings_are_the_base(tmp_path):
    (tmp_path / TRAIN_CONFIG).write_text(BASE.model_dump_json())
    found = base_config(str(tmp_path), "other.parquet")
    assert found.learning_rate == BASE.learning_rate and found.manifest == "other.parquet"
    with pytest.raises(UserError, match=r"--ablations: no .*train_config\.json"):
        base_config(str(tmp_path / "none"), "v1.parquet")
    (tmp_path / TRAIN_CONFIG).write_text('{"manifest": "v1.parquet", "long_gone": 1}')
    with pytest.raises(UserError, match="not of this version"):
        base_config(str(tmp_path), "v1.parquet")
