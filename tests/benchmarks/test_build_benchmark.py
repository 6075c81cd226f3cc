"""The benchmark runs all three ways on the same images and writes what it measured."""

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
    out = tmp_path / "bench.json"
    sizes = ["--sources", "1", "--subjects", "2", "--backgrounds", "2", "--workers", "1"]
    command = [sys.executable, str(ROOT / "benchmarks" / "build.py"), *sizes, "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(out.read_text())
    assert result["variations"] > 0
    assert result["build"]["steps"] == result["bare"]["steps"] == result["script"]["steps"] > 0
    assert result["share"] == pytest.approx(result["build"]["rate"] / result["bare"]["rate"])
    assert result["speedup"] == pytest.approx(result["script"]["wall"] / result["build"]["wall"])
    assert "image-steps/s" in done.stdout
