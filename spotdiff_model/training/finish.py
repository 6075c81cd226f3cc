"""What comes after the last step: exact moments for the concept erasure, and the files that others load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from spotdiff_model.config import TrainConfig
from spotdiff_model.training.lora import save_lora
from spotdiff_model.training.setup import Prepared


@torch.no_grad()
def fit_concept_erasure(prepared: Prepared, batch_size: int) -> None:
    """Sets the erasure's moments to those of all training pictures, without augmentation."""
    encoder, features = prepared.encoder, prepared.features
    encoder.eval()
    device = next(encoder.parameters()).device
    subjects, nuisances = [], []
    for start in range(0, len(features.rows), batch_size):
        places = np.arange(start, min(start + batch_size, len(features.rows)))
        output = encoder(torch.from_numpy(features.tokens(places, np.zeros(len(places), int))).to(device))
        subjects.append(output.raw_subject)
        nuisances.append(output.nuisance)
    erasure = encoder.removal
    erasure.fit(torch.cat(subjects), torch.cat(nuisances)[:, : erasure.nuisance])


def save_encoder(prepared: Prepared, config: TrainConfig, output_dir: Path, losses: dict[str, Any]) -> None:
    """Writes config, weights and model card, the LoRA if there is one; pushes to the hub if that is wanted."""
    from spotdiff_model.pipeline import LORA

    card = {"train_config": config.model_dump(mode="json"), "losses": losses}
    prepared.encoder.save_pretrained(output_dir, model_card_kwargs=card)
    if config.lora_rank:
        save_lora(prepared.diffusion.unet, output_dir / LORA)
    if config.push_to_hub:
        prepared.encoder.push_to_hub(config.hub_model_id or output_dir.name, model_card_kwargs=card)
