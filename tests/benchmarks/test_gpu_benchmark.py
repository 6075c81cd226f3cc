"""The rehearsal of the GPU's benchmark: build, bare pipelines and training on the CPU, with the miniature's models."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.usefixtures("weights")
def test_a_small_run(tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    sizes = ["--sources", "2", "--subjects", "2", "--backgrounds", "2", "--pairs", "4", "--training_steps", "1"]
    told = ["--profile", "tiny", "--variants", "fp16", *sizes, "--out", str(out)]
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), *told]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    (variant,) = json.loads(out.read_text()).values()
    profile_steps = 4 * 12 + 8 * 8  # four subjects, eight variations, every attempt accepted
    assert variant["build"]["image_steps"] == profile_steps
    assert variant["device"] == "cpu"
    assert variant["build"]["peak_bytes"] is None
    assert variant["share"] == pytest.approx(variant["build"]["rate"] / variant["bare"]["rate"])
    training = variant["training"]
    assert 0 < training["unet"] < training["step"] * 2
    assert "image-steps/s" in done.stdout
