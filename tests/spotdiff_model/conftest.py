"""What the tests of the model share. Its place makes ``rendered`` importable."""

from __future__ import annotations

from pathlib import Path

import pytest
from rendered import write_rendered


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small manifest of exact renders: 8 sources (6 train, 1 validation, 1 test) x 4 subjects x 4 backgrounds."""
    return write_rendered(tmp_path_factory.mktemp("rendered") / "v1.parquet")
