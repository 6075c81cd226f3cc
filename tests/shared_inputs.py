"""Photographs and odd inputs that lie beside some checkouts, or where SPOTDIFF_SHARED says."""

from __future__ import annotations

import os
from pathlib import Path

SHARED = Path(os.environ.get("SPOTDIFF_SHARED", Path(__file__).parents[2] / "shared"))
