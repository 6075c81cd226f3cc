"""From a training to an encoder of the package: the command, the card, and whoever names ``package:...`` or nothing."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from pipeline.config import UserError, load_profile
from pipeline.models.resolve import Model
from spotdiff_model import shipped
from spotdiff_model.config import TrainConfig
from spotdiff_model.evaluation.settings import evaluate_config
from spotdiff_model.generate import GenerateConfig, generate
from spotdiff_model.model import SpotDiffEncoder
from spotdiff_model.pipeline import SpotDiffPipeline
from spotdiff_model.ship import ORIGIN, ShipConfig, recipe, ship
from spotdiff_model.training.setup import encoder_config

ROOT = Path(__file__).parents[2]
CRITERIA = [
    {"what": "R@1", "measured": 0.9564, "must": "at least .5", "aim": "0.95", "met": True, "reached": True},
    {"what": "kept", "measured": 0.4, "must": "0.7", "aim": "0.9", "met": False, "reached": False},
    {"what": "copied", "measured": None, "must": "-", "aim": "chance", "met": None, "reached": None},
]
DATA = {"split": "test", "digest": "d" * 64, "rows": 2800, "subjects": 60, "poses": 28, "backgrounds": 10}


@pytest.fixture(scope="module")
def trained(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a training and its evaluation leave behind, with random weights."""
    folder = tmp_path_factory.mktemp("trained")
    config = TrainConfig(
        manifest="/somewhere/full.parquet",
        output_dir=str(folder),
        max_train_steps=7,
        width=16,
        layers=(0, 2),
        project=False,
    )
    torch.manual_seed(0)
    encoder = SpotDiffEncoder(encoder_config(config, load_profile("tiny"), "abc123"))
    encoder.save_pretrained(folder)
    (folder / "train_config.json").write_text(config.model_dump_json())
    (folder / "evaluation").mkdir()
    (folder / "evaluation" / "metrics.json").write_text(json.dumps({"acceptance_criteria": CRITERIA, "data": DATA}))
    return folder


@pytest.fixture
def package(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of shipped encoders, with one in it."""
    monkeypatch.setattr(shipped, "PRETRAINED", tmp_path / "pretrained")
    ship(ShipConfig(model=str(trained), output_dir=str(tmp_path / "pretrained")))
    return tmp_path / "pretrained"


@pytest.fixture
def picture() -> Image.Image:
    return Image.open(ROOT / "examples" / "sources" / "world-20000204.png").convert("RGB")


def test_it_is_the_trained_encoder(trained: Path, package: Path, picture: Image.Image) -> None:
    before, after = (
        SpotDiffEncoder.from_pretrained(name).encode_images([picture]) for name in (trained, "package:tiny")
    )
    assert torch.equal(before.pseudo_tokens, after.pseudo_tokens)


def test_the_card_names_digest_recipe_and_figures(package: Path) -> None:
    card = (package / "tiny" / "README.md").read_text()
    assert "manifest with digest `abc123`" in card
    options = "--layers 0 --layers 2 --manifest full.parquet --max_train_steps 7 --no_project --width 16"
    told = next(line for line in card.splitlines() if line.startswith("python -m spotdiff_model.train"))
    assert sorted(told.split()) == sorted(["python", "-m", "spotdiff_model.train", *options.split()])
    assert 'SpotDiffPipeline.from_pretrained("package:tiny")' in card
    assert "split test (2800 pictures, 60 subjects, 28 poses)" in card
    rows = [line for line in card.splitlines() if re.match(r"\| (R@1|kept|copied) ", line)]
    assert rows == [
        "| R@1 | 0.956 | at least .5 | 0.95 | aim reached |",
        "| kept | 0.400 | 0.7 | 0.9 | **missed** |",
        "| copied | not told | - | chance |  |",
    ]
    assert "/somewhere" not in card + (package / "tiny" / ORIGIN).read_text()
    assert "{{" not in card and "{%" not in card


def test_the_recipe_of_a_training_that_went_on_names_the_one_before(trained: Path, package: Path) -> None:
    """Also where it is shipped in the place of the encoder that it began with."""
    config = TrainConfig.model_validate_json((trained / "train_config.json").read_text())
    first = recipe(config)
    on = config.model_copy(update={"encoder_name_or_path": str(trained), "seed": 4})
    second = f"{first} --encoder_name_or_path work/spotdiff-encoder --output_dir work/spotdiff-encoder-2 --seed 4"
    for name in (str(trained), "package:tiny"):
        lines = recipe(on.model_copy(update={"encoder_name_or_path": name})).splitlines()
        assert lines[0] == first and sorted(lines[1].split()) == sorted(second.split())
    shutil.copytree(trained, package / "on")
    told = on.model_copy(update={"encoder_name_or_path": "package:tiny"})
    (package / "on" / "train_config.json").write_text(told.model_dump_json())
    ship(ShipConfig(model=str(package / "on"), output_dir=str(package)))
    assert json.loads((package / "tiny" / ORIGIN).read_text())["recipe"].splitlines() == lines
    assert "\n".join(lines) in (package / "tiny" / "README.md").read_text()
    unknown = recipe(config.model_copy(update={"encoder_name_or_path": "somebody/encoder"}))
    assert len(unknown.splitlines()) == 1 and "--encoder_name_or_path somebody/encoder" in unknown


def test_the_recipe_is_read_by_the_command_that_it_names() -> None:
    import typer

    from spotdiff_model.command import with_options
    from spotdiff_model.methods import TrainOptions

    config = TrainConfig(manifest="m.parquet", seed=3, layers=(1, 4), experts=False, lr_scheduler="constant")
    app, seen = typer.Typer(), {}
    app.command()(with_options(TrainOptions, lambda **options: seen.update(options)))
    done = CliRunner().invoke(app, recipe(config).split()[3:])
    assert done.exit_code == 0, done.output
    assert TrainConfig(**seen) == config


def test_pictures_are_made_without_naming_a_model(package: Path, tmp_path: Path) -> None:
    image = ROOT / "examples" / "sources" / "world-20000204.png"
    config = GenerateConfig(
        image=str(image), prompt="S*, on a beach by day", num_images_per_prompt=1, num_inference_steps=2,
        output_dir=str(tmp_path / "out"),
    )  # fmt: skip
    (path,) = generate(config)
    assert Image.open(path).size == (64, 64)
    pipe = SpotDiffPipeline.from_pretrained("package:tiny")
    made = pipe(
        Image.open(image).convert("RGB"), "S*, on a beach by day", num_inference_steps=2,
        generator=[torch.Generator().manual_seed(0)],
    ).images[0]  # fmt: skip
    assert np.array_equal(np.asarray(made), np.asarray(Image.open(path)))
    assert evaluate_config(model="package:tiny", manifest="m").folder == Path("work/evaluation/package-tiny")


def test_without_one_a_line_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "PRETRAINED", tmp_path)
    image = str(ROOT / "examples" / "sources" / "world-20000204.png")
    with pytest.raises(UserError, match=r"package:tiny: no such encoder ships .*it has none.*; train one .*--model"):
        generate(GenerateConfig(image=image, output_dir=str(tmp_path)))
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "config.json").touch()
    with pytest.raises(UserError, match=r"package:large: .*it has tiny"):
        SpotDiffPipeline.from_pretrained("package:large")
    with pytest.raises(UserError, match=r"package:\.\./tiny: no such encoder"):
        shipped.model_folder("package:../tiny")


def test_what_cannot_be_shipped_is_said(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--model .*: train_config\.json: No such file"):
        ship(ShipConfig(model=str(tmp_path), output_dir=str(tmp_path)))
    with pytest.raises(UserError, match=r"--metrics .*none\.json: No such file.*spotdiff_model\.evaluate --model"):
        ship(ShipConfig(model=str(trained), metrics="none.json", output_dir=str(tmp_path)))
    (tmp_path / "odd.json").write_text("[]")
    with pytest.raises(UserError, match=r"--metrics .*odd\.json: not written by"):
        ship(ShipConfig(model=str(trained), metrics=str(tmp_path / "odd.json"), output_dir=str(tmp_path)))
    foreign = json.loads((trained / "config.json").read_text())
    foreign["models"]["base"]["repo"] = "owner/sd"
    other = tmp_path / "other"
    other.mkdir()
    for name in ("train_config.json", "model.safetensors"):
        (other / name).write_bytes((trained / name).read_bytes())
    (other / "config.json").write_text(json.dumps(foreign))
    metrics = str(trained / "evaluation" / "metrics.json")
    with pytest.raises(UserError, match=r"stands on owner/sd, which does not ship"):
        ship(ShipConfig(model=str(other), metrics=metrics, output_dir=str(tmp_path / "out")))
    assert not (tmp_path / "out").exists()


def test_the_encoder_that_ships_stands_on_the_models_that_ship() -> None:
    folders = [path.parent for path in shipped.PRETRAINED.glob("*/config.json")]
    assert folders
    for folder in folders:
        told = json.loads((folder / ORIGIN).read_text())["models"]
        config = SpotDiffEncoder.from_pretrained(folder).config
        now = {role: Model(ref).fingerprint() for role, ref in config.models if ref is not None}
        assert told == now, f"{folder.name}: was trained with other weights; train and ship it again"


def test_the_demo_ends_with_pictures_by_the_encoder_that_ships() -> None:
    done = subprocess.run(["make", "-n", "demo"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "spotdiff_model.generate --image examples/subject.png" in done.stdout
    assert (ROOT / "examples" / "subject.png").is_file()
    assert (shipped.PRETRAINED / "tiny" / "model.safetensors").is_file()
