"""Renders that no judge has learned from."""

import pytest

from tinyworld.training.renders import EVALUATION_SEED, Renders, load_renders


@pytest.fixture(scope="session")
def held_out(tmp_path_factory) -> Renders:
    return load_renders(tmp_path_factory.mktemp("renders"), 120, EVALUATION_SEED, workers=1)
