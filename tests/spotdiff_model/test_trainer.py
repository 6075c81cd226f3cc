"""The training on a small manifest of renders, with the shipped models."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from pipeline import store
from pipeline.config import UserError
from spotdiff_model.config import TrainConfig
from spotdiff_model.model import SpotDiffEncoder
from spotdiff_model.trainer import Objective, train

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def folder(rendered: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("training")


def _config(rendered: Path | str, output_dir: Path, **changes: Any) -> TrainConfig:
    few = {"max_train_steps": 4, "train_batch_size": 8, "noise_batch_size": 2, "checkpointing_steps": 2, "width": 16}
    quiet = {"report_to": "none", "num_validation_images": 0, "lora_rank": 2, "lr_warmup_steps": 1}
    return TrainConfig(manifest=str(rendered), output_dir=str(output_dir), **{**few, **quiet, **changes})


@pytest.fixture(scope="module")
def trained(rendered: Path, folder: Path) -> Path:
    return train(_config(rendered, folder / "whole"))


def _weights(output_dir: Path) -> dict[str, torch.Tensor]:
    lora = load_file(output_dir / "unet_lora" / "pytorch_lora_weights.safetensors")
    return {**load_file(output_dir / "model.safetensors"), **{f"lora {name}": value for name, value in lora.items()}}


def _history(output_dir: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (output_dir / "losses.jsonl").read_text().splitlines()]


def test_a_training_leaves_an_encoder_its_losses_and_its_curves(trained: Path, rendered: Path) -> None:
    encoder = SpotDiffEncoder.from_pretrained(trained)
    assert encoder.config.layers == (0, 2, 4)
    assert encoder.removal.second.any()
    history = _history(trained)
    assert [entry["step"] for entry in history] == [1, 2, 3, 4]
    parts = {"subject", "keypoints", "background", "orthogonality", "independence", "text", "distillation", "noise"}
    assert parts < history[0].keys()
    assert (trained / "losses.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in trained.glob("checkpoint-*")) == ["checkpoint-2", "checkpoint-4"]


def test_a_resumed_training_ends_with_the_same_weights(trained: Path, rendered: Path, folder: Path) -> None:
    part = folder / "resumed"
    shutil.copytree(trained, part)
    shutil.rmtree(part / "checkpoint-4")
    (part / "model.safetensors").unlink()
    train(_config(rendered, part, resume_from_checkpoint="latest"))
    whole, resumed = _weights(trained), _weights(part)
    assert whole.keys() == resumed.keys()
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name
    assert _history(part) == _history(trained)


def test_a_training_from_an_object_store_ends_with_the_same_weights(
    trained: Path, rendered: Path, folder: Path, s3: str
) -> None:
    """Manifest and feature cache there; no copy of the features stays on this machine."""
    manifest, cache = f"{s3}/v1.parquet", f"{s3}/cache"
    store.write_bytes(manifest, rendered.read_bytes())
    there = train(_config(manifest, folder / "s3" / "out", cache_dir=cache))
    assert [path.name for path in (folder / "s3").iterdir()] == ["out"]
    fs, place = store.filesystem(cache)
    assert fs.find(place)
    whole, remote = _weights(trained), _weights(there)
    assert whole.keys() == remote.keys()
    for name, value in whole.items():
        assert torch.equal(value, remote[name]), name


def test_a_checkpoint_of_another_training_is_refused(trained: Path, rendered: Path) -> None:
    with pytest.raises(UserError, match="was trained with seed 0, not 1"):
        train(_config(rendered, trained, resume_from_checkpoint="checkpoint-2", seed=1))
    with pytest.raises(UserError, match="not a checkpoint"):
        train(_config(rendered, trained, resume_from_checkpoint="checkpoint-3"))


def test_a_loss_that_is_not_finite_stops_with_the_last_good_checkpoint(
    trained: Path, rendered: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = folder / "broken"
    shutil.copytree(trained, part)
    shutil.rmtree(part / "checkpoint-4")
    parts = Objective.parts

    def broken(self: Objective, *arguments: Any) -> Any:
        found, output = parts(self, *arguments)
        return {**found, "noise": found["noise"] * torch.nan}, output

    monkeypatch.setattr(Objective, "parts", broken)
    with pytest.raises(UserError, match=r"'noise' is not finite at step 3; the last good checkpoint is .*checkpoint-2"):
        train(_config(rendered, part, resume_from_checkpoint="latest"))
    assert (part / "checkpoint-2").is_dir()


@pytest.mark.parametrize(
    ("changes", "gone"),
    [
        ({"experts": False}, {"keypoints", "background", "orthogonality", "independence"}),
        (
            {"noise_weight": 0, "text_weight": 0, "distillation_weight": 0, "lora_rank": 0},
            {"noise", "text", "distillation"},
        ),
        ({"reference": "same", "project": False, "independence_weight": 0}, {"independence"}),
    ],
)
def test_ablations_are_configs(rendered: Path, folder: Path, changes: dict[str, Any], gone: set[str]) -> None:
    output_dir = folder / "-".join(changes)
    train(_config(rendered, output_dir, max_train_steps=1, **changes))
    assert not gone & _history(output_dir)[0].keys()
    assert SpotDiffEncoder.from_pretrained(output_dir).config.experts == changes.get("experts", True)


def test_a_training_begins_with_the_weights_of_a_trained_encoder(
    trained: Path, rendered: Path, folder: Path, tmp_path: Path
) -> None:
    """One step at a rate of next to nothing leaves them as they were: fresh ones would be far off."""
    gentle = {"max_train_steps": 1, "lora_rank": 0, "learning_rate": 1e-12, "seed": 5}
    there = train(_config(rendered, folder / "on", encoder_name_or_path=str(trained), **gentle))
    before, after = load_file(trained / "model.safetensors"), load_file(there / "model.safetensors")
    for name, value in before.items():
        if not name.startswith("removal"):  # its moments are of the features of today
            torch.testing.assert_close(after[name], value, rtol=0, atol=1e-6)
    wider = _config(rendered, tmp_path, encoder_name_or_path=str(trained), width=24)
    with pytest.raises(UserError, match=r"encoder_name_or_path .*whole: its width is 16, that of this training 24"):
        train(wider)


def test_a_scheduler_of_no_such_name(rendered: Path, folder: Path) -> None:
    with pytest.raises(UserError, match="lr_scheduler: 'zigzag' is none of"):
        train(_config(rendered, folder / "zigzag", lr_scheduler="zigzag"))


@pytest.mark.slow
def test_two_processes_train_as_one(rendered: Path, folder: Path) -> None:
    """The same global batch, so the same losses within float tolerance.

    On a CPU accelerate starts several processes only when it is told that there are several GPUs.
    """
    train(_config(rendered, folder / "one", train_batch_size=8, noise_batch_size=4, lora_rank=0))
    config = _config(rendered, folder / "two", train_batch_size=4, noise_batch_size=2, lora_rank=0)
    options = [f"--{name}={value}" for name, value in _given(config).items()]
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes=2"]
    launch += [
        "--num_machines=1",
        "--mixed_precision=no",
        "--dynamo_backend=no",
        "--main_process_port=0",
        "-m",
        "spotdiff_model.train",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run([*launch, *options], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    for one, two in zip(_history(folder / "one"), _history(folder / "two"), strict=True):
        assert one == pytest.approx(two, rel=1e-3, abs=1e-4)


def _given(config: TrainConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in config.model_fields_set}
