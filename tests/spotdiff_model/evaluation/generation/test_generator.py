"""Requests through the pipeline, and DINO's embedding from a folder."""

from __future__ import annotations

import numpy as np
import pytest
import standins
import torch
from PIL import Image
from rendered import write_rendered
from transformers import ViTConfig, ViTImageProcessor, ViTModel

from pipeline.config import UserError
from pipeline.manifest.read import Manifest
from spotdiff_model.config import profile_of, train_config
from spotdiff_model.denoiser import Denoiser
from spotdiff_model.evaluation.generation.generator import generate, generate_from_text, load_dino
from spotdiff_model.evaluation.generation.requests import RequestSettings, make_requests
from spotdiff_model.evaluation.probes.factors import read_sample
from spotdiff_model.model import SpotDiffEncoder
from spotdiff_model.pipeline import SpotDiffPipeline
from spotdiff_model.training.setup import encoder_config


def test_a_picture_depends_on_its_request_alone(standins_root, tmp_path):
    manifest = write_rendered(
        tmp_path / "v1.parquet", train=2, validation=0, test=0, subjects=3, backgrounds=2,
        profile=standins.profile(standins_root),
    )  # fmt: skip
    opened = Manifest(str(manifest))
    root = str(standins_root)
    config = train_config(manifest=str(manifest), models_root=root)
    torch.manual_seed(0)
    encoder = SpotDiffEncoder(encoder_config(config, profile_of(opened.footer, str(manifest)), opened.digest))
    encoder.save_pretrained(tmp_path / "encoder")
    pipe = SpotDiffPipeline.from_encoder(tmp_path / "encoder", root)
    requests = make_requests(read_sample(str(manifest), "train"), RequestSettings(2, 1, 1, 1), seed=0)
    told = []
    pictures = generate(pipe, requests, lambda done, total: told.append((done, total)))
    assert len(pictures) == len(requests) == told[-1][0] == told[-1][1]
    for at in (1, len(requests) - 1):
        (alone,) = generate(pipe, [requests[at]], lambda *_: None)
        assert np.abs(np.asarray(alone, int) - np.asarray(pictures[at], int)).max() <= 3
    assert np.abs(np.asarray(pictures[0], int) - np.asarray(pictures[1], int)).max() > 3
    described = profile_of(opened.footer, str(manifest))
    told = generate_from_text(Denoiser.load(described, root), requests, lambda *_: None)
    assert [picture.size for picture in told] == [picture.size for picture in pictures]
    assert requests[0].description in requests[0].text_prompt and "S*" not in requests[0].text_prompt
    assert np.abs(np.asarray(told[0], int) - np.asarray(pictures[0], int)).max() > 0


@pytest.fixture
def standins_root(standins):
    """The session's random-weight models (the fixture has the module's name)."""
    return standins


def test_dino_is_read_from_a_folder(tmp_path):
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, image_size=32, patch_size=8
    )
    ViTModel(config).save_pretrained(tmp_path)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 255, (48, 48, 3), np.uint8)) for _ in range(3)]
    embedded = load_dino(str(tmp_path))([*pictures, pictures[0]])
    assert embedded.shape == (4, 32)
    assert np.linalg.norm(embedded, axis=1) == pytest.approx(1, abs=1e-5)
    assert embedded[0] @ embedded[3] == pytest.approx(1, abs=1e-5)
    assert embedded[0] @ embedded[1] < 0.9999


def test_dino_that_is_not_to_be_had_is_told_in_a_line(tmp_path):
    with pytest.raises(UserError, match=r"--dino .*leave the option out"):
        load_dino(str(tmp_path / "none"))
