"""The generate command, and the commands' manners."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from pipeline.config import UserError
from pipeline.manifest.read import Manifest
from spotdiff_model.config import TrainConfig
from spotdiff_model.generate import GenerateConfig, generate
from spotdiff_model.trainer import train

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def model(rendered: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    few = {"max_train_steps": 1, "train_batch_size": 4, "noise_batch_size": 2, "width": 16, "augmentations": 0}
    quiet = {"report_to": "none", "num_validation_images": 0}
    return train(TrainConfig(manifest=str(rendered), output_dir=str(tmp_path_factory.mktemp("model")), **few, **quiet))


@pytest.fixture(scope="module")
def picture(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("picture") / "subject.png"
    for batch in Manifest(str(rendered)).batches(["image"], 1):
        path.write_bytes(batch.column(0)[0]["bytes"].as_py())
        break
    return path


def test_pictures_and_what_they_were_made_from(model: Path, picture: Path, rendered: Path, tmp_path: Path) -> None:
    pose = next(Manifest(str(rendered)).batches(["keypoints"], 1)).column(0)[0].as_py()
    (tmp_path / "pose.json").write_text(json.dumps(pose))
    config = GenerateConfig(
        model=str(model), image=str(picture), prompt="S*, on a beach by day", pose=str(tmp_path / "pose.json"),
        num_images_per_prompt=2, num_inference_steps=2, seed=5, output_dir=str(tmp_path / "out"),
    )  # fmt: skip
    paths = generate(config)
    assert [path.stem.rsplit("-", 1)[1] for path in paths] == ["5", "6"]
    images = [Image.open(path) for path in paths]
    assert [image.size for image in images] == [(64, 64)] * 2
    assert images[0].tobytes() != images[1].tobytes()
    told = json.loads(paths[0].with_suffix(".json").read_text())
    assert (told["prompt"], told["seed"]) == ("S*, on a beach by day", 5)
    (alone,) = generate(config.model_copy(update={"num_images_per_prompt": 1}))
    assert alone == paths[0], "the same picture has the same name"


def test_what_is_not_to_be_had_is_said(model: Path, picture: Path, tmp_path: Path) -> None:
    config = GenerateConfig(model=str(model), image=str(picture), output_dir=str(tmp_path))
    with pytest.raises(UserError, match=r"--image .*missing\.png: not a readable picture"):
        generate(config.model_copy(update={"image": "missing.png"}))
    (tmp_path / "pose.json").write_text("[[0, 0, 1]]")
    with pytest.raises(UserError, match="must be 18 OpenPose keypoints"):
        generate(config.model_copy(update={"pose": str(tmp_path / "pose.json")}))
    (tmp_path / "pose.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match="not a JSON list of 18 keypoints"):
        generate(config.model_copy(update={"pose": str(tmp_path / "pose.json")}))
    with pytest.raises(UserError, match=r"no config\.json"):
        generate(config.model_copy(update={"model": str(tmp_path)}))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["spotdiff_model.train", "--manifest", "none.parquet"], "error: manifest none.parquet: no such file"),
        (["spotdiff_model.train", "--manifest", "x", "--learning_rate", "0"], "error: training: learning_rate: "),
        (["spotdiff_model.generate", "--model", "x", "--image", "none.png"], "error: --image none.png: not a readable"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], message: str) -> None:
    done = subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith(message)


def test_help_names_the_options_as_diffusers_does() -> None:
    command = "import sys, spotdiff_model.train as t; from spotdiff_model.command import *\n"
    command += "sys.argv[1:] = ['--help']\n"
    command += "try: run(with_options(t.TrainOptions, t.main))\n"
    command += "finally: print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.stdout.endswith("False\n"), "help pays for torch"
    names = (
        "output_dir", "max_train_steps", "train_batch_size", "learning_rate", "lr_scheduler", "checkpointing_steps",
        "checkpoints_total_limit", "resume_from_checkpoint", "report_to", "mixed_precision", "seed",
        "validation_steps", "push_to_hub",
    )  # fmt: skip
    assert [name for name in names if f"--{name}" not in done.stdout] == []
