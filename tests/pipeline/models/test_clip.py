"""Scores are plain CLIP cosines, in batches, with each text encoded once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from standins import profile

from pipeline.models.clip import Clip, clip
from pipeline.models.resolve import Model

TEXTS = ["a person in a red shirt", "a sandy beach", "in a room with blue walls"]


@pytest.fixture(scope="module")
def ours(standins: Path) -> Clip:
    return clip(Model(profile(standins).models.clip, str(standins)))


def pictures(side: int = 64) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, side, side, 3), np.uint8)


@pytest.mark.parametrize("side", [64, 96])
def test_scores_are_transformers_own(ours: Clip, standins: Path, side: int) -> None:
    from transformers import CLIPModel, CLIPProcessor

    folder = standins / "stand-in" / "clip"
    model, processor = CLIPModel.from_pretrained(folder), CLIPProcessor.from_pretrained(folder)
    images = [Image.fromarray(one) for one in pictures(side)]
    inputs = processor(text=TEXTS, images=images, return_tensors="pt", padding=True)
    with torch.no_grad():
        logits = model(**inputs).logits_per_image / model.logit_scale.exp()
    assert ours.scores(pictures(side), TEXTS) == pytest.approx(logits.diagonal().numpy(), abs=1e-4)


def test_features_are_unit_vectors(ours: Clip) -> None:
    assert np.linalg.norm(ours.image_features(pictures()), axis=1) == pytest.approx(1)
    assert np.linalg.norm(ours.text_features(TEXTS), axis=1) == pytest.approx(1)


def test_each_text_is_encoded_once(ours: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, real = [], ours.model.get_text_features
    monkeypatch.setattr(ours.model, "get_text_features", lambda **inputs: (seen.append(1), real(**inputs))[1])
    texts = ["never heard of", "never heard of", "neither of this"]
    features = ours.text_features(texts)
    assert np.array_equal(ours.text_features(texts), features)
    assert np.array_equal(features[0], features[1])
    assert not np.array_equal(features[0], features[2])
    assert len(seen) == 2


def test_the_process_has_one(ours: Clip, standins: Path) -> None:
    assert clip(Model(profile(standins).models.clip, str(standins))) is ours
