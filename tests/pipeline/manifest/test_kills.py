"""Real processes, really killed: the benchmark at a small size."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "kill_writes.py"


@pytest.mark.slow
@pytest.mark.parametrize("where", ["disk", "s3"])
def test_a_reader_sees_nothing_false_while_writers_are_killed(where: str) -> None:
    command = [sys.executable, str(BENCHMARK), "--kills", "2", "--rows", "60", "--where", where]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
