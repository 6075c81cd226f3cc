"""Each baseline's idea is there: it comes in where it should, at scale 0 nothing does, and what is frozen stays so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.config import UserError
from spotdiff_model.baselines.per_subject import PerSubject
from spotdiff_model.baselines.registry import (
    CONFIG,
    METHODS,
    baseline_config,
    load_baseline,
    method_class,
    save_baseline,
)
from spotdiff_model.baselines.training import prepare, train_baseline
from spotdiff_model.data.rows import read_rows
from spotdiff_model.evaluation.generation.generator import generate_from_text
from spotdiff_model.evaluation.generation.requests import CLASS_NOUN, RequestSettings, make_requests
from spotdiff_model.evaluation.probes.factors import read_sample

SMALL = {"max_train_steps": 3, "train_batch_size": 4}
LEARNING = [name for name in METHODS if not issubclass(method_class(name), PerSubject)]
UNET = "unet."


@pytest.fixture(scope="module")
def rows(rendered, weights):
    return read_rows(str(rendered))


@pytest.fixture(scope="module")
def requests(rendered):
    """One in a free pose, one in a given one."""
    asked = make_requests(read_sample(str(rendered), "train"), RequestSettings(1, 1, 1, 0), seed=0)
    assert [request.pose is None for request in asked] == [True, False]
    return asked


def of(method, rows, **changes):
    return prepare(baseline_config(method, manifest=str(rows.manifest.path), **{**SMALL, **changes}), rows)


def pixels(baseline, requests):
    sampling = baseline.frozen.denoiser.sampling.model_copy(update={"num_inference_steps": 2})
    object.__setattr__(baseline.frozen.denoiser, "sampling", sampling)
    return np.stack([np.asarray(image, int) for image in baseline.generate(requests, lambda *_: None)])


def told(baseline, requests):
    """The same by the frozen generator, with the class noun."""
    sampling = baseline.frozen.denoiser.sampling.model_copy(update={"num_inference_steps": 2})
    plain = replace(baseline.frozen.denoiser, sampling=sampling)
    named = [replace(request, description=CLASS_NOUN) for request in requests]
    return np.stack([np.asarray(image, int) for image in generate_from_text(plain, named, lambda *_: None)])


@pytest.fixture(scope="module")
def base(rows, requests):
    """What the frozen generator makes of the class noun."""
    return told(of("nearid", rows, unet="frozen")[0], requests)


@pytest.mark.parametrize("method", METHODS)
def test_unplugged_it_is_the_base_model_to_the_bit_and_plugged_in_it_is_not(method, rows, requests, base):
    baseline, _ = of(method, rows, unet="frozen")
    if method == "moma":  # begins at nothing
        for processor in baseline.detail:
            torch.nn.init.constant_(processor.gain, 0.5)
    full = pixels(baseline, requests)
    baseline.scale = 0.0
    unplugged = pixels(baseline, requests)
    assert np.array_equal(unplugged, base)
    assert all(not np.array_equal(one, other) for one, other in zip(full, unplugged, strict=True))


@pytest.mark.parametrize("method", LEARNING)
def test_the_picture_is_read_the_frozen_parts_have_no_gradient_and_the_others_learn(method, rows):
    baseline, data = of(method, rows, unet="kv")
    features = [baseline.encode(shown.images, shown.masks) for shown in (data.batch(0, 4).references,) * 2]
    others = data.batch(1, 4).references
    assert np.allclose(*features, atol=1e-5) and features[0].ndim == 2
    assert np.abs(features[0] - baseline.encode(others.images, others.masks)).max() > 1e-4
    before = {name: value.detach().clone() for name, value in baseline.named_parameters()}
    optimizer = torch.optim.SGD(baseline.trained().values(), lr=1e-2)
    learnt: set[str] = set()
    baseline.train()
    for number in range(2):
        for step in (0, SMALL["max_train_steps"] - 1):  # the first stage, and the last
            parts = baseline.loss(data.batch(number, 4), step)
            torch.stack(list(parts.values())).sum().backward()
            for parameter in baseline.resting(step):
                parameter.grad = None
            learnt |= {
                name for name, value in baseline.named_parameters() if value.grad is not None and value.grad.any()
            }
            optimizer.step()
            optimizer.zero_grad()
    frozen = baseline.frozen
    for model in (frozen.diffusion.text.encoders[0], frozen.diffusion.vae, frozen.clip.model):
        assert all(value.grad is None for value in model.parameters())
    for name, value in baseline.named_parameters():
        if name not in baseline.trained():
            assert value.grad is None and torch.equal(value, before[name]), name
    own = {name for name in learnt if name.startswith(UNET) and "processor" not in name}
    assert own and all(".attn2.to_" in name for name in own)
    beside = {name for name in baseline.trained() if not name.startswith(UNET) or "processor" in name}
    assert len(learnt & beside) > 0.6 * len(beside), sorted(beside - learnt)


@pytest.mark.parametrize(("unet", "trained"), [("frozen", 0), ("kv", 14), ("full", 200)])
def test_of_the_unet_that_is_trained_which_is_asked_for(unet, trained, rows):
    names = [name for name in of("nearid", rows, unet=unet)[0].trained() if name.startswith(UNET)]
    assert len(names) >= trained and bool(names) == bool(trained)
    assert unet == "full" or all(".attn2.to_" in name for name in names)


@pytest.mark.parametrize("method", METHODS)
def test_saved_and_loaded_it_is_the_same(method, rows, requests, tmp_path):
    config = baseline_config(method, manifest=str(rows.manifest.path), output_dir=str(tmp_path), **SMALL)
    said: list[str] = []
    folder = train_baseline(config, said.append)
    first = load_baseline(folder)
    assert first.described()["data"] == ("paired" if method == "nearid" else "native")
    if not isinstance(first, PerSubject):
        costs = first.saved.costs
        assert costs["steps"] == 3 and costs["unet_passes"] >= 1 and costs["trained_parameters"] > 1000
        fresh, _ = prepare(config, rows)
        moved = [
            not torch.equal(one, two)
            for one, two in zip(first.trained().values(), fresh.trained().values(), strict=True)
        ]
        assert any(moved)
    again = load_baseline(save_baseline(first, tmp_path / "again"))
    for (name, one), other in zip(first.trained().items(), again.trained().values(), strict=True):
        assert torch.equal(one, other), name
    if method == "elite":
        assert np.array_equal(pixels(first, requests[:1]), pixels(again, requests[:1]))
    train_baseline(config, said.append)
    assert "trained already" in said[-1]


def test_mistakes_are_told_in_a_line(rows, tmp_path):
    with pytest.raises(UserError, match=r"--method 'elit': is none of nearid"):
        baseline_config("elit", manifest="v1.parquet")
    with pytest.raises(UserError, match=r"training of elite: lora_rank: Extra inputs"):
        baseline_config("elite", manifest="v1.parquet", lora_rank=2)
    with pytest.raises(UserError, match=r"no baseline\.json"):
        load_baseline(tmp_path)
    (tmp_path / CONFIG).write_text("{}")
    with pytest.raises(UserError, match=r"baseline\.json: config: "):
        load_baseline(tmp_path)
    baseline, _ = of("ip-adapter", rows)
    folder = save_baseline(baseline, tmp_path / "saved")
    (folder / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"no readable model\.safetensors"):
        load_baseline(folder)
    other = save_baseline(of("ip-adapter-plus", rows)[0], tmp_path / "other")
    (folder / "model.safetensors").write_bytes((Path(other) / "model.safetensors").read_bytes())
    with pytest.raises(UserError, match="does not fit"):
        load_baseline(folder)
