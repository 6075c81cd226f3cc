"""The import layers hold, and the linter says so when a line breaks them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("pipeline", "flows", "tinyworld", "spotdiff_model")


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The code and the linter's settings, without weights."""
    for name in PACKAGES:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("weights", "__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("spotdiff_model/losses.py", "from pipeline.stages import recipe", "spotdiff_model is not allowed to import"),
        ("pipeline/store.py", "import prefect", "pipeline is not allowed to import prefect"),
        ("pipeline/imaging/png.py", "import pipeline.models.clip", "pipeline.imaging is not allowed to import"),
        ("tinyworld/world/pose.py", "import pipeline.runner.build", "tinyworld is not allowed to import"),
    ],
)
def test_a_line_that_breaks_a_layer_is_found(copy: Path, module: str, line: str, contract: str) -> None:
    path = copy / module
    path.write_text(
        path.read_text().replace(
            "from __future__ import annotations\n", f"from __future__ import annotations\n\n{line}\n", 1
        )
    )
    done = lint(copy)
    assert done.returncode != 0
    assert contract in done.stdout


def test_the_code_as_it_is_keeps_all_layers(copy: Path) -> None:
    done = lint(copy)
    assert done.returncode == 0, done.stdout
