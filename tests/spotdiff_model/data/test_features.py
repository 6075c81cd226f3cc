"""Frozen features of a manifest: computed once, and again only where something has changed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline import store
from pipeline.config import load_profile
from pipeline.models.resolve import Model
from spotdiff_model.config import EncoderConfig, TrainConfig
from spotdiff_model.data.features import FrozenFeatures, freeze
from spotdiff_model.data.rows import Rows, read_rows
from spotdiff_model.hub import Diffusion, load_diffusion, vision_encoder
from spotdiff_model.training.setup import encoder_config


@pytest.fixture(scope="module")
def diffusion(weights: Path) -> Diffusion:
    return load_diffusion(Model(load_profile("tiny").models.base))


@pytest.fixture(scope="module")
def rows(rendered: Path) -> Rows:
    return read_rows(str(rendered), check=False).select(np.arange(12))


def _features(
    rows: Rows, folder: Path | str, diffusion: Diffusion, **changes: object
) -> tuple[FrozenFeatures, Counter[str]]:
    config = TrainConfig(manifest=rows.manifest.path, cache_dir=str(folder), **{"augmentations": 2, **changes})
    told: Counter[str] = Counter()

    def progress(what: str, done: int, of: int) -> None:
        told[what] = of

    return freeze(rows, config, _encoder(config), diffusion, progress), told


def _encoder(config: TrainConfig) -> EncoderConfig:
    return encoder_config(config, load_profile("tiny"), "")


def test_only_what_is_new_is_computed(rows: Rows, diffusion: Diffusion, tmp_path: Path) -> None:
    first, told = _features(rows.select(np.arange(8)), tmp_path, diffusion)
    assert told == {
        "CLIP tokens": 8,
        "CLIP tokens of augmentation 1": 8,
        "CLIP tokens of augmentation 2": 8,
        "latents": 8,
    }
    more, told = _features(rows, tmp_path, diffusion)
    assert told == {
        "CLIP tokens": 4,
        "CLIP tokens of augmentation 1": 4,
        "CLIP tokens of augmentation 2": 4,
        "latents": 4,
    }
    _, told = _features(rows, tmp_path, diffusion)
    assert not told
    places = np.arange(8)
    assert np.array_equal(first.tokens(places, places % 3), more.tokens(places, places % 3))
    _, told = _features(rows, tmp_path, diffusion, layers=(1, 2), augmentations=0)
    assert told == {"CLIP tokens": 12}, "other layers are another cache; latents are the same"


def test_manifest_and_cache_in_an_object_store(rows: Rows, rendered: Path, diffusion: Diffusion, s3: str) -> None:
    store.write_bytes(f"{s3}/v1.parquet", rendered.read_bytes())
    there = read_rows(f"{s3}/v1.parquet").select(np.arange(8))
    first, told = _features(there, f"{s3}/cache", diffusion)
    assert told["latents"] == 8
    again, told = _features(there, f"{s3}/cache", diffusion)
    assert not told, "computed again what is in the store"
    places = np.arange(8)
    assert np.array_equal(first.tokens(places, places % 3), again.tokens(places, places % 3))
    assert np.array_equal(first.latents_of(places), again.latents_of(places))


def test_features_are_those_of_their_rows(rows: Rows, diffusion: Diffusion, tmp_path: Path) -> None:
    found, _ = _features(rows, tmp_path, diffusion)
    images = dict(rows.images(np.arange(12)))
    chosen = np.array([7, 2])
    config = TrainConfig(manifest=rows.manifest.path)
    direct = vision_encoder(_encoder(config)).tokens([images[7], images[2]])
    nothing = np.zeros(2, int)
    assert torch.allclose(torch.from_numpy(found.tokens(chosen, nothing)), direct, atol=2e-2)
    latents = diffusion.latents([images[7], images[2]])
    assert torch.allclose(torch.from_numpy(found.latents_of(chosen)), latents, atol=1e-2)
    texts = diffusion.prompt_features(list(rows.prompt[chosen]))
    assert torch.allclose(torch.from_numpy(found.prompt_features_of(chosen)), texts, atol=1e-2)
    augmented = [found.tokens(chosen, nothing + number) for number in range(3)]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert not np.allclose(augmented[one], augmented[other], atol=0.1), "each augmentation is another picture"
        assert not np.array_equal(found.keypoints[one], found.keypoints[other])
    assert np.array_equal(found.keypoints[0], rows.keypoints)
