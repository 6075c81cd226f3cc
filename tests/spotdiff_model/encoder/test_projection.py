"""The removal: nothing that is linear in pose and background stays readable."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.linear_model import LinearRegression

from spotdiff_model.encoder.projection import SpanRemoval


def _mixed(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(count)
    interference = torch.randn(count, 6, generator=generator) + 2
    own = torch.randn(count, 10, generator=generator)
    mixing = torch.randn(6, 10, generator=torch.Generator().manual_seed(1))
    return own + interference @ mixing, interference


def _readable(features: torch.Tensor, wanted: torch.Tensor) -> float:
    half = len(features) // 2
    probe = LinearRegression().fit(features[:half].numpy(), wanted[:half].numpy())
    return float(probe.score(features[half:].numpy(), wanted[half:].numpy()))


def test_a_linear_probe_reads_nothing_after_the_fit() -> None:
    subject, interference = _mixed(4000)
    removal = SpanRemoval(6, 10)
    assert torch.equal(removal(subject, interference), subject), "a fresh one must do nothing"
    removal.fit(subject, interference)
    held_out, spotted = _mixed(3000)
    assert _readable(held_out, spotted) > 0.3
    assert abs(_readable(removal(held_out, spotted), spotted)) < 0.02


def test_what_is_not_interference_stays() -> None:
    subject, interference = _mixed(4000)
    removal = SpanRemoval(6, 10)
    removal.fit(subject, interference)
    mixing = torch.randn(6, 10, generator=torch.Generator().manual_seed(1))
    own = subject - interference @ mixing
    kept = removal(subject, interference)
    correlation = np.corrcoef((kept - kept.mean(0)).flatten(), (own - own.mean(0)).flatten())[0, 1]
    assert correlation > 0.99


def test_running_moments_come_close_to_the_fit() -> None:
    subject, interference = _mixed(20_000)
    running, exact = SpanRemoval(6, 10), SpanRemoval(6, 10)
    for rows in torch.arange(20_000).split(100):
        running.update(subject[rows], interference[rows])
    exact.fit(subject, interference)
    assert (running.weight - exact.weight).norm() < 0.15 * exact.weight.norm()
