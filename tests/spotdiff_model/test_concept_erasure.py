"""Concept erasure: nothing that is linear in pose and background stays readable."""

from __future__ import annotations

import torch
from sklearn.linear_model import LinearRegression

from spotdiff_model.model import ConceptErasure


def _mixed(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(count)
    nuisance = torch.randn(count, 6, generator=generator) + 2
    own = torch.randn(count, 10, generator=generator)
    mixing = torch.randn(6, 10, generator=torch.Generator().manual_seed(1))
    return own + nuisance @ mixing, nuisance


def _readable(features: torch.Tensor, wanted: torch.Tensor) -> float:
    half = len(features) // 2
    probe = LinearRegression().fit(features[:half].numpy(), wanted[:half].numpy())
    return float(probe.score(features[half:].numpy(), wanted[half:].numpy()))


def test_a_linear_probe_reads_nothing_after_the_fit() -> None:
    subject, nuisance = _mixed(4000)
    erasure = ConceptErasure(6, 10, threshold=0.1)
    assert torch.equal(erasure(subject), subject), "a fresh one must do nothing"
    erasure.fit(subject, nuisance)
    held_out, nuisance = _mixed(3000)
    assert _readable(held_out, nuisance) > 0.3
    assert abs(_readable(erasure(held_out), nuisance)) < 0.02


def test_only_the_span_goes() -> None:
    subject, nuisance = _mixed(4000)
    erasure = ConceptErasure(6, 10, threshold=0.1)
    erasure.fit(subject, nuisance)
    kept = erasure(subject)
    rank = torch.linalg.matrix_rank(kept - kept.mean(dim=0), rtol=1e-3)
    assert rank == 10 - 6
    assert torch.allclose(erasure.removed @ erasure.removed, erasure.removed, atol=1e-3), "no projection"


def test_what_goes_together_by_chance_is_left() -> None:
    generator = torch.Generator().manual_seed(0)
    subject, nuisance = torch.randn(200, 10, generator=generator), torch.randn(200, 6, generator=generator)
    erasure = ConceptErasure(6, 10)
    erasure.fit(subject, nuisance)
    assert torch.equal(erasure(subject), subject - erasure.mean[6:])


def test_without_interference_features_are_centred() -> None:
    subject, _ = _mixed(500)
    erasure = ConceptErasure(0, 10)
    for rows in torch.arange(500).split(50):
        erasure.update(subject[rows], subject[rows, :0])
    assert erasure(subject).mean(dim=0).abs().max() < 1e-4


def test_running_moments_come_close_to_the_fit() -> None:
    subject, nuisance = _mixed(20_000)
    running, exact = ConceptErasure(6, 10, threshold=0.3), ConceptErasure(6, 10, threshold=0.3)
    for rows in torch.arange(20_000).split(100):
        running.update(subject[rows], nuisance[rows])
    exact.fit(subject, nuisance)
    assert (running.removed - exact.removed).norm() < 0.15 * exact.removed.norm()
