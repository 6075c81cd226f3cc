"""What the tests of the data plane share. Its place makes ``toy_stages`` importable from the folders below."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings
from shared_inputs import SHARED

settings.register_profile("pipeline", deadline=None, max_examples=60)  # times vary widely on shared machines
settings.load_profile("pipeline")

CASES = SHARED / "cases"


@pytest.fixture(scope="session")
def cases() -> Path:
    """Small inputs that once went wrong; they lie beside some checkouts."""
    if not CASES.is_dir():
        pytest.skip(f"no cases at {CASES}")
    return CASES
