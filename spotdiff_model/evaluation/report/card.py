"""Puts what was measured into the model card of a trained encoder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from spotdiff_model.evaluation.ablations import TRAIN_CONFIG
from spotdiff_model.evaluation.report.report import EvaluationResult

_CARD, _LOSSES = "README.md", "losses.jsonl"


def update_card(model: str, result: EvaluationResult) -> Path | None:
    """Writes the card again, with the acceptance criteria as its metrics; all else in it stays.

    Returns:
        The card; None where the model is no folder of a training (an encoder from the hub).
    """
    folder = Path(model)
    if not (folder / TRAIN_CONFIG).is_file():
        return None
    from spotdiff_model.model import SpotDiffEncoder

    split = result.data["split"]
    measured = {line.what: f"{line.measured:.3f}" for line in result.criteria if line.measured is not None}
    metrics = {"evaluated on": f"split {split} of the manifest with digest `{result.data['digest']}`", **measured}
    encoder = SpotDiffEncoder.from_pretrained(folder)
    train_config = json.loads((folder / TRAIN_CONFIG).read_text("utf-8"))
    card = encoder.generate_model_card(metrics=metrics, train_config=train_config, losses=last_losses(folder))
    card.save(folder / _CARD)
    return folder / _CARD


def last_losses(folder: Path) -> dict[str, Any]:
    """The parts of the loss at the end of a training; empty where its folder does not hold them."""
    path = folder / _LOSSES
    lines = path.read_text("utf-8").splitlines() if path.is_file() else []
    losses: dict[str, Any] = json.loads(lines[-1]) if lines else {}
    return losses
