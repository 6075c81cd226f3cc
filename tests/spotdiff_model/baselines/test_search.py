"""The learning-rate search: five rates, one judge, the best one is trained with."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from pipeline.config import UserError
from spotdiff_model.baselines import search
from spotdiff_model.baselines.registry import baseline_config, load_baseline
from spotdiff_model.baselines.search import FACTORS, SEARCH, searched, validation_loss
from spotdiff_model.baselines.training import prepare
from spotdiff_model.data.rows import read_rows
from spotdiff_model.train import main

FEW = {"max_train_steps": 3, "train_batch_size": 4}


def test_the_command_searches_and_trains_with_what_it_found(rendered, weights, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(search, "_BATCHES", 1)
    main(method="nearid", manifest=str(rendered), output_dir=str(tmp_path), unet="frozen", search=True, **FEW)
    told = json.loads((tmp_path / SEARCH).read_text())
    own = baseline_config("nearid", manifest=str(rendered)).learning_rate
    assert [entry["learning_rate"] for entry in told] == pytest.approx([own * factor for factor in FACTORS])
    losses = [entry["validation_loss"] for entry in told]
    assert len(set(losses)) == len(FACTORS) and all(0 < loss < 5 for loss in losses)
    saved = load_baseline(tmp_path).saved
    assert saved.config.learning_rate == told[int(np.argmin(losses))]["learning_rate"]
    assert saved.costs["steps"] == FEW["max_train_steps"]
    assert capsys.readouterr().err.count("validation loss") == len(FACTORS)


def test_per_subject_methods_are_searched_by_fitting_validation_subjects(rendered, weights, tmp_path):
    config = baseline_config("textual-inversion", manifest=str(rendered), output_dir=str(tmp_path), max_train_steps=2)
    found = searched(config, lambda _: None, steps=2, batches=1)
    told = json.loads((tmp_path / SEARCH).read_text())
    assert found.learning_rate == min(told, key=lambda entry: entry["validation_loss"])["learning_rate"]


def test_a_rate_that_goes_astray_is_no_candidate_and_none_left_is_told(rendered, weights, tmp_path, monkeypatch):
    config = baseline_config("nearid", manifest=str(rendered), output_dir=str(tmp_path), unet="frozen", **FEW)
    said: list[str] = []
    monkeypatch.setattr(search, "FACTORS", (float("inf"), 1.0))
    assert searched(config, said.append, steps=2, batches=1).learning_rate == config.learning_rate
    assert json.loads((tmp_path / SEARCH).read_text())[0]["validation_loss"] is None
    assert "not finite" in said[0]
    monkeypatch.setattr(search, "FACTORS", (float("inf"),))
    with pytest.raises(UserError, match="search for nearid: no learning rate"):
        searched(config, said.append, steps=2, batches=1)


def test_the_judge_tells_a_trained_one_from_a_broken_one_and_repeats_itself(rendered, weights):
    rows = read_rows(str(rendered))
    baseline, data = prepare(baseline_config("ip-adapter", manifest=str(rendered), **FEW), rows)
    held_out = replace(data)
    first = validation_loss(baseline, held_out, 1)
    assert validation_loss(baseline, held_out, 1) == first, "the noise is the same for everybody"
    for parameter in baseline.trained().values():
        parameter.data.mul_(-30.0)
    assert validation_loss(baseline, held_out, 1) > first
