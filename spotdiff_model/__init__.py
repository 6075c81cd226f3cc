"""The subject encoder (our reconstruction of SpotDiff): model, training, generation and evaluation."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    """The classes that saved pipelines name, imported only when asked for."""
    if name == "SpotDiffEncoder":
        from spotdiff_model.model import SpotDiffEncoder

        return SpotDiffEncoder
    if name == "SpotDiffPipeline":
        from spotdiff_model.pipeline import SpotDiffPipeline

        return SpotDiffPipeline
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
