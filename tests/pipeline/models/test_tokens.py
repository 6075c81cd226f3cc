"""Prompts are counted by the models' own tokenizers, those of transformers and those of tokenizers alike."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hub_layout import hub_profile

from pipeline.config import UserError
from pipeline.models.resolve import Model
from pipeline.models.tokens import check_lengths, token_count


def test_one_token_more_than_fit_is_told(hub: dict[str, Path]) -> None:
    model = Model(hub_profile("sdxl").models.base, str(hub["sdxl"]))
    fits = "a " * 75
    assert token_count(model, fits) == 77
    check_lengths(model, [("bank x: a", fits)])
    with pytest.raises(UserError, match=r"bank x: b: with its template it has 78 tokens, .* reads 77: shorten it"):
        check_lengths(model, [("bank x: a", fits), ("bank x: b", fits + "a")])


def test_a_vocabulary_in_the_old_layout_counts_the_same(hub: dict[str, Path], tmp_path: Path) -> None:
    """Stable Diffusion 1.5 has ``vocab.json`` and ``merges.txt``, and no ``tokenizer.json``."""
    import json

    root = Path(shutil.copytree(hub["sd15"], tmp_path / "hub"))
    ref = hub_profile("sd15").models.base
    folder = root / ref.repo / "tokenizer"
    new = json.loads((folder / "tokenizer.json").read_text())
    (folder / "vocab.json").write_text(json.dumps(new["model"]["vocab"]))
    merges = [" ".join(pair) if isinstance(pair, list) else pair for pair in new["model"]["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]))
    (folder / "tokenizer.json").unlink()
    text = "a person in a red shirt, on a beach"
    assert token_count(Model(ref, str(root)), text) == token_count(Model(ref, str(hub["sd15"])), text) > 8


def test_a_tokenizer_that_is_missing_is_told(hub: dict[str, Path], tmp_path: Path) -> None:
    root = Path(shutil.copytree(hub["sd15"], tmp_path / "hub"))
    ref = hub_profile("sd15").models.base
    shutil.rmtree(root / ref.repo / "tokenizer")
    with pytest.raises(UserError, match=r"tokenizer .*get it again"):
        check_lengths(Model(ref, str(root)), [("x", "y")])
