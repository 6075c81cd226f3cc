"""The benchmark of the miniature's generator, on two held-out subjects."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.usefixtures("weights")
def test_it_measures_what_is_shown_of_what_was_told(tmp_path: Path) -> None:
    figures, sheet = tmp_path / "figures.json", tmp_path / "sheet.png"
    options = ["--prompts", "2", "--out", figures, "--sheet", sheet]
    command = [sys.executable, ROOT / "benchmarks" / "generator.py", *options]
    done = subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(figures.read_text())
    assert {"new_background/attributes_kept", "new_pose/pose_followed", "edit/edit_done"} <= set(found)
    assert all(0 <= value <= 1 for value in found.values())
    assert found["real/kept_shirt_color"] > 0.9
    assert "given pose" in done.stdout
    assert Image.open(sheet).size == (6 * 64, 64)
