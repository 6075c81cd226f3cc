"""The benchmark of the pose expert trains on few poses and on many, and says what each found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.usefixtures("weights")
def test_a_small_run() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "pose_expert.py"), "--poses", "2", "64"]
    command += ["--pictures", "64", "--held_out", "32", "--steps", "30", "--layers", "0,2,4", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [line.split("│")[1:-1] for line in done.stdout.splitlines() if line.startswith("│")]
    shares = {(int(poses), layers.strip()): (float(known), float(unseen)) for poses, layers, known, unseen in rows}
    assert shares.keys() == {(2, "0,2,4"), (2, "1"), (64, "0,2,4"), (64, "1")}
    assert shares[2, "0,2,4"][0] > shares[2, "0,2,4"][1]  # two poses are soon known by heart
