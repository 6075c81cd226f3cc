"""What the judge's tests share. Its place makes ``toy`` importable."""

from __future__ import annotations

import pytest
from toy import toy_factors

from spotdiff_model.evaluation.probes.factors import FactorLabels


@pytest.fixture(scope="session")
def factors() -> FactorLabels:
    """6 subjects x 6 poses x 6 backgrounds."""
    return toy_factors()
