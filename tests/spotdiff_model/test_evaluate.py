"""``python -m spotdiff_model.evaluate`` from end to end, on encoders that are not trained: what matters is the way."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import standins
import torch
from rendered import write_rendered

from pipeline.config import UserError
from pipeline.manifest.read import Manifest
from spotdiff_model.config import profile_of, train_config
from spotdiff_model.evaluate import main
from spotdiff_model.evaluation.generation import generator
from spotdiff_model.model import SpotDiffEncoder
from spotdiff_model.training.setup import encoder_config
from tinyworld.judges.attributes import JUDGED, grow_judges


def fresh(folder: Path, manifest: Path, models_root: Path | None = None, **changes) -> Path:
    """An encoder with random weights for a manifest."""
    opened = Manifest(str(manifest))
    profile = profile_of(opened.footer, str(manifest))
    config = train_config(manifest=str(manifest), models_root=models_root and str(models_root), **changes)
    torch.manual_seed(0)
    SpotDiffEncoder(encoder_config(config, profile, opened.digest)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("manifest")
    return write_rendered(folder / "v1.parquet", train=3, test=2, subjects=3, backgrounds=3)


def test_the_command_writes_metrics_report_and_pictures(manifest, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(generator, "grow_judges", lambda: grow_judges(scenes=80, held_out=20, trees=10))
    model = fresh(tmp_path / "encoder", manifest)
    (model / "train_config.json").write_text(train_config(manifest=str(manifest), max_train_steps=7).model_dump_json())
    main(model=str(model), manifest=str(manifest), seeds=1, mlp=False, subjects=1, backgrounds=1, poses=1, edits=1)
    folder = model / "evaluation"
    metrics = json.loads((folder / "metrics.json").read_text())
    assert {"report.html", "retrieval.png", "leakage_linear.png", "pictures.png"} <= {p.name for p in folder.iterdir()}
    data = metrics["data"]
    assert (data["split"], data["rows"], data["poses"], data["trained_on_it"]) == ("test", 18, 2, True)
    assert data["digest"] == Manifest(str(manifest)).digest
    ours = metrics["methods"]["ours"]["metrics"]
    assert "leakage/linear/background/pose" in ours and "dependence/pose-background/p_value" in ours
    assert 0 <= ours["generation/new_pose/oks_asked"]["mean"] <= 1
    assert "generation/new_background/attributes_kept" in metrics["methods"]["text-prompt"]["metrics"]
    generation = metrics["protocol"]["generation"]
    assert set(generation["pixel_judges"]["ceilings"]) <= set(JUDGED)
    sampling = SpotDiffEncoder.from_pretrained(model).config.sampling.model_dump(mode="json")
    assert generation["pictures"] == 3 and generation["num_inference_steps"] == 12
    assert generation.items() >= sampling.items() and sampling["guidance_scale"] == 3
    assert metrics["protocol"]["clip"]["repo"].endswith("clip")
    card = (model / "README.md").read_text()
    assert "| same-subject R@1, hard gallery, f_s | 0." in card and '"max_train_steps": 7' in card
    said = capsys.readouterr().out
    assert "| raw CLIP |" in said and "same-subject R@1" in said and str(folder / "report.html") in said


def test_the_shape_of_stable_diffusion_is_judged_by_the_same_code(tmp_path):
    root = standins.write_standins(tmp_path / "models", standins.SD15)
    profile = standins.profile(root, standins.SD15)
    manifest = write_rendered(
        tmp_path / "v1.parquet", train=2, validation=0, test=2, subjects=2, backgrounds=2, profile=profile
    )
    model = fresh(tmp_path / "encoder", manifest, root)
    main(
        model=str(model), manifest=str(manifest), models_root=str(root), output_dir=str(tmp_path / "out"),
        seeds=1, mlp=False, subjects=1, backgrounds=1, poses=1, edits=0,
    )  # fmt: skip
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["protocol"]["generation"]["pixel_judges"] == "none for this profile"
    assert "generation/new_background/clip_i" in metrics["methods"]["ours"]["metrics"]
    assert metrics["protocol"]["clip"]["repo"] == "stand-in/clip"


def test_an_encoder_without_experts_has_a_subject_feature_only(manifest, tmp_path):
    model = fresh(tmp_path / "encoder", manifest, experts=False)
    main(model=str(model), manifest=str(manifest), seeds=1, mlp=False, generation=False)
    ours = json.loads((model / "evaluation" / "metrics.json").read_text())["methods"]["ours"]["metrics"]
    assert "leakage/linear/subject/pose" in ours
    assert not [name for name in ours if name.startswith(("leakage/linear/pose", "dependence/", "keypoints"))]


def test_mistakes_are_told_in_a_line(manifest, tmp_path):
    with pytest.raises(UserError, match=r"no config\.json"):
        main(model=str(tmp_path), manifest=str(manifest))
    model = fresh(tmp_path / "encoder", manifest)
    with pytest.raises(UserError, match=r"evaluation: seeds: .* \(got '0'\)"):
        main(model=str(model), manifest=str(manifest), seeds=0)
    lone = write_rendered(tmp_path / "lone.parquet", train=1, validation=0, test=0, subjects=2, backgrounds=2)
    with pytest.raises(UserError, match="no rows of split 'test'; it holds train"):
        main(model=str(model), manifest=str(lone))


def test_help_answers_at_once():
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "spotdiff_model.evaluate", "--help"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "--ablations" in done.stdout
    assert not {"torch", "sklearn", "transformers"} & {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
