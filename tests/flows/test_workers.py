"""Workers come from devices: one a GPU, else one a core that the process may use."""

from __future__ import annotations

import os

import pytest
import torch

from flows.engines.workers import default_workers


@pytest.mark.parametrize(
    ("gpus", "cores", "threads", "workers"), [(0, 8, 1, 8), (0, 8, 4, 2), (0, 2, 4, 1), (8, 64, 4, 1)]
)
def test_one_a_gpu_else_one_a_core(
    gpus: int, cores: int, threads: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The threads of one process share one GPU, however many there are."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    assert default_workers(threads) == workers
