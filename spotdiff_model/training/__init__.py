"""The training: ``train(config)`` is all that a caller needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spotdiff_model.training.trainer import train

__all__ = ["train"]


def __getattr__(name: str) -> Any:
    """``train``, imported only when asked for: it stands on torch and diffusers."""
    if name == "train":
        from spotdiff_model.training.trainer import train

        return train
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
