"""Pseudo-tokens at S*: they stand where it stood, and nowhere else."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from transformers import CLIPTextModel, CLIPTokenizer

from pipeline.config import UserError
from spotdiff_model.placeholder import Prompts, at_end, tokenize, with_placeholder
from spotdiff_model.text import TextEncoders

PSEUDO_TOKENS = 3


@pytest.fixture(scope="module")
def tokenizer(weights: Path) -> CLIPTokenizer:
    return CLIPTokenizer.from_pretrained(weights / "diffusion" / "tokenizer")


@pytest.fixture(scope="module")
def text_encoder(weights: Path) -> CLIPTextModel:
    return CLIPTextModel.from_pretrained(weights / "diffusion" / "text_encoder", dtype=torch.float32).eval()


def states(text_encoder: CLIPTextModel, prompts: Prompts, pseudo_tokens: torch.Tensor) -> torch.Tensor:
    return TextEncoders((text_encoder,), (None,)).conditions(prompts, pseudo_tokens).states


def test_real_words_as_pseudo_words_change_nothing(tokenizer: CLIPTokenizer, text_encoder: CLIPTextModel) -> None:
    """The embeddings of "a red cap" at S* give what the prompt with these words gives."""
    ids = tokenizer("a red cap", add_special_tokens=False).input_ids
    assert len(ids) == PSEUDO_TOKENS
    embeddings = text_encoder.get_input_embeddings().weight[ids][None]
    prompts = tokenize(tokenizer, ["a person wearing S*, on a beach"], PSEUDO_TOKENS)
    plain = tokenizer("a person wearing a red cap, on a beach", padding="max_length", return_tensors="pt").input_ids
    with torch.no_grad():
        found, wanted = states(text_encoder, prompts, embeddings), text_encoder(plain).last_hidden_state
    assert torch.equal(found, wanted)
    end = tokenizer.eos_token_id
    assert torch.equal(at_end(found, prompts.ids, end), at_end(wanted, plain, end))


def test_a_placeholder_that_the_tokenizer_would_split(tokenizer: CLIPTokenizer) -> None:
    assert len(tokenizer("S*", add_special_tokens=False).input_ids) > 1
    prompts = tokenize(tokenizer, ["S* and S*", "a S*"], PSEUDO_TOKENS)
    assert prompts.slots[0].tolist()[:9] == [-1, 0, 1, 2, -1, 0, 1, 2, -1]
    assert prompts.slots[1].tolist()[:6] == [-1, -1, 0, 1, 2, -1]
    assert prompts.ids.shape == (2, tokenizer.model_max_length)


def test_gradients_reach_the_words_and_the_hook_is_gone(tokenizer: CLIPTokenizer, text_encoder: CLIPTextModel) -> None:
    embeddings = torch.zeros(1, PSEUDO_TOKENS, text_encoder.config.hidden_size, requires_grad=True)
    states(text_encoder, tokenize(tokenizer, ["S*"], PSEUDO_TOKENS), embeddings).square().sum().backward()
    assert embeddings.grad is not None and embeddings.grad.abs().sum() > 0
    assert not text_encoder.get_input_embeddings()._forward_hooks


def test_padding_bears_on_no_state_before_it(tokenizer: CLIPTokenizer, text_encoder: CLIPTextModel) -> None:
    prompts = tokenize(tokenizer, ["S*", "S* in a city with tall buildings at sunset"], PSEUDO_TOKENS)
    short, end = prompts.without_padding(tokenizer.eos_token_id), tokenizer.eos_token_id
    assert short.ids.shape[1] < prompts.ids.shape[1]
    embeddings = torch.randn(
        2, PSEUDO_TOKENS, text_encoder.config.hidden_size, generator=torch.Generator().manual_seed(0)
    )
    with torch.no_grad():
        found, wanted = states(text_encoder, short, embeddings), states(text_encoder, prompts, embeddings)
    assert torch.allclose(found, wanted[:, : found.shape[1]], atol=1e-5)
    assert torch.allclose(at_end(found, short.ids, end), at_end(wanted, prompts.ids, end), atol=1e-5)


def test_prompts_without_a_placeholder_get_one(caplog: pytest.LogCaptureFixture) -> None:
    assert with_placeholder("S* on a beach") == "S* on a beach"
    with caplog.at_level(logging.WARNING):
        assert with_placeholder("on a beach ") == "on a beach, S*"
        assert with_placeholder("") == "S*"
    assert "prompt without S*: taken as 'on a beach, S*'" in caplog.text


def test_a_placeholder_that_does_not_fit(tokenizer: CLIPTokenizer, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(UserError, match=r"S\* stands for 3 pseudo-tokens, which end beyond the 48 tokens"):
        tokenize(tokenizer, ["red " * 45 + "S*"], PSEUDO_TOKENS)
    with caplog.at_level(logging.WARNING):
        prompts = tokenize(tokenizer, ["S* " + "red " * 60], PSEUDO_TOKENS)
    assert prompts.ids[0, -1] == tokenizer.eos_token_id
    assert "cut to 48 tokens" in caplog.text
