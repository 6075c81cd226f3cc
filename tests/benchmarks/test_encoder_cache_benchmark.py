"""The benchmark of the feature cache runs both ways and writes what it measured."""

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
    sys.path.insert(0, str(ROOT / "tests" / "spotdiff_model"))
    from rendered import write_rendered

    manifest = write_rendered(tmp_path / "v1.parquet", train=3, validation=0, test=0, subjects=3, backgrounds=3)
    out = tmp_path / "bench.json"
    command = [sys.executable, str(ROOT / "benchmarks" / "encoder_cache.py"), "--manifest", str(manifest)]
    command += ["--steps", "1", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(out.read_text())
    (encoded,), (cached,) = result["encoded"]["cpu"], result["cached"]["cpu"]
    assert result["speedup"]["cpu"] == pytest.approx(encoded / cached)
    assert encoded > cached
