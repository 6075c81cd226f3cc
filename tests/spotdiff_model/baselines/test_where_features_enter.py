"""Where each baseline lets the subject in: as words before the text transformer, or as image tokens beside it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spotdiff_model.baselines.baseline import Condition
from spotdiff_model.baselines.per_subject import PerSubject
from spotdiff_model.baselines.registry import METHODS, baseline_config, method_class
from spotdiff_model.baselines.training import prepare
from spotdiff_model.data.rows import read_rows

WORDS = {"nearid": "a photo", "elite-global": "a photo", "elite": "a photo", "blip-diffusion": "a photo a"}
"""Before the text transformer, behind these words of the prompt: at S*, for BLIP-Diffusion in "a [words] person"."""
BESIDE = {"ip-adapter": 1, "ip-adapter-plus": 1, "moma": 1, "disenvisioner": 2}
"""Image tokens in so many decoupled cross-attentions; the text knows nothing of the subject."""
FITTED = ("textual-inversion", "dreambooth")
PROMPTS = ["a photo S* on a beach"] * 2


@pytest.fixture(scope="module")
def rows(rendered, weights):
    return read_rows(str(rendered))


def of(method, rows, **changes):
    settings = {"max_train_steps": 2, "train_batch_size": 2, "unet": "frozen", **changes}
    return prepare(baseline_config(method, manifest=str(rows.manifest.path), **settings), rows)


def test_every_method_is_looked_at():
    assert {*WORDS, *BESIDE, *FITTED} == {*METHODS}
    assert {name for name in METHODS if issubclass(method_class(name), PerSubject)} == {*FITTED}


@pytest.mark.parametrize("method", WORDS)
def test_words_enter_before_the_text_transformer(method, rows):
    baseline, data = of(method, rows)
    with torch.no_grad():
        one, other = (baseline.condition(data.batch(number, 2).references, PROMPTS) for number in (0, 1))
    assert not one.tokens
    moved = (one.states - other.states).abs().amax(dim=(0, 2)) > 1e-6
    first = len(baseline.frozen.diffusion.text.tokenizer(WORDS[method]).input_ids) - 1
    # the text transformer is causal: what stands before the words never hears of them, all behind them does
    assert not moved[:first].any() and moved[first:].all(), moved.nonzero().flatten().tolist()


@pytest.mark.parametrize("method", BESIDE)
def test_image_tokens_leave_the_text_alone(method, rows):
    baseline, data = of(method, rows)
    batches = [data.batch(number, 2) for number in (0, 1)]
    with torch.no_grad():
        one, other = (baseline.condition(batch.references, PROMPTS) for batch in batches)
        assert torch.equal(one.states, other.states) and torch.equal(one.states, baseline.said(PROMPTS))
        assert len(one.tokens) == BESIDE[method]
        assert all((mine - yours).abs().max() > 1e-5 for mine, yours in zip(one.tokens, other.tokens, strict=True))


def test_what_disenvisioner_calls_irrelevant_is_shut_out_of_pictures(rows):
    baseline, data = of("disenvisioner", rows)
    batch = data.batch(0, 2)
    with torch.no_grad():
        told = baseline.condition(batch.references, batch.prompts)
        whole = baseline.denoise(batch, told)
        essential, others = told.tokens
        noise = torch.randn(others.shape, generator=torch.Generator().manual_seed(0))
        assert torch.equal(whole, baseline.denoise(batch, Condition(told.states, (essential, noise))))
        assert not torch.equal(whole, baseline.denoise(batch, Condition(told.states, (noise, others))))


def test_elite_s_second_stage_takes_word_0_alone_and_details_by_attention(rows):
    baseline, data = of("elite", rows)
    batch = data.batch(0, 2)
    with torch.no_grad():
        words = baseline.words(batch.references.images)
        states = baseline.condition(batch.references, batch.prompts).states
        assert words.shape[1] == 4 and torch.equal(states, baseline.with_words(batch.prompts, words[:, :1]))
        with_details = baseline.denoise(batch, baseline.condition(batch.references, batch.prompts))
        elsewhere = data.batch(3, 2).references
        baseline.condition(elsewhere, batch.prompts)  # lets in other details; the words stay
        assert not torch.equal(with_details, baseline.denoise(batch, Condition(states)))


@pytest.mark.parametrize("method", FITTED)
def test_fitted_on_a_subject_the_rest_stays_and_afterwards_all_is_as_before(method, rows):
    baseline, data = of(method, rows, unet="full" if method == "dreambooth" else "frozen")
    diffusion = baseline.frozen.diffusion
    shown = data.batch(0, 2).references.images
    unet = [value.detach().clone() for value in diffusion.unet.parameters()]
    base = baseline.states(PROMPTS[:1]) if method == "dreambooth" else baseline.said(PROMPTS[:1])
    baseline.fit(shown[:1], "a subject")
    for model in (diffusion.text.encoders[0], diffusion.vae):
        assert all(value.grad is None for value in model.parameters())
    moved = [not torch.equal(one, other) for one, other in zip(unet, diffusion.unet.parameters(), strict=True)]
    with torch.no_grad():
        said = baseline.states(PROMPTS[:1])
    if method == "dreambooth":
        assert np.mean(moved) > 0.9 and torch.equal(said, base)
    else:
        assert not any(moved) and not torch.equal(said, base)
        assert all(value.grad is None for value in diffusion.unet.parameters())
    baseline.reset()
    assert all(torch.equal(one, other) for one, other in zip(unet, diffusion.unet.parameters(), strict=True))
