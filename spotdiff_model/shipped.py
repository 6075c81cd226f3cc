"""Encoders that ship with the package: ``package:tiny`` names one wherever a model is named."""

from __future__ import annotations

from pathlib import Path

from pipeline.config import UserError

PACKAGE = "package:"
DEFAULT = f"{PACKAGE}tiny"
"""The encoder that is taken where none is named."""
PRETRAINED = Path(__file__).parent / "pretrained"
"""A folder each; ``python -m spotdiff_model.ship`` fills it."""


def is_shipped(name: str | Path) -> bool:
    """Whether a model's name is that of an encoder of the package."""
    return str(name).startswith(PACKAGE)


def model_folder(name: str | Path) -> str | Path:
    """The folder of a shipped encoder; any other name as it is.

    Raises:
        UserError: No such encoder ships with this installation.
    """
    if not is_shipped(name):
        return name
    short = str(name).removeprefix(PACKAGE)
    there = sorted(path.parent.name for path in PRETRAINED.glob("*/config.json"))
    if short not in there:
        have = f"it has {', '.join(there)}" if there else "it has none"
        raise UserError(
            f"model {name}: no such encoder ships with this installation ({have}); train one "
            "(python -m spotdiff_model.train) and name its output folder with --model"
        )
    return PRETRAINED / short
