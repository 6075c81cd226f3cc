"""What all tests share. Its place makes ``standins`` importable."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as in a build: many small calls are erratic with more

import standins as made

import pipeline


@pytest.fixture(scope="session")
def standins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random-weight models of the shipped shapes, in hub layout; for ``--models-root``."""
    return made.write_standins(tmp_path_factory.mktemp("standins"))


@pytest.fixture(scope="session")
def weights() -> Path:
    """The shipped weights of the miniature world's models."""
    folder = Path(pipeline.__file__).parent / "tiny" / "weights"
    if not (folder / "inpainting").is_dir():
        pytest.skip("the package has no weights yet: python -m tinyworld.train")
    return folder
