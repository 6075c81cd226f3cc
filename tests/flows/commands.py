"""Runs the commands of the environment that the tests run in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
TOYS = ROOT / "tests" / "pipeline"
"""Where ``toy_stages`` lies."""


def run_command(*command: str | Path, cwd: Path = ROOT, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """A command of the environment's ``bin`` folder, run to its end."""
    program, *arguments = (str(part) for part in command)
    return subprocess.run(
        [str(BIN / program), *arguments], cwd=cwd, capture_output=True, text=True, timeout=timeout, check=False
    )
