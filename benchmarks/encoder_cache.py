"""How many training steps a second the cached features are worth, against encoding again at each step.

    python benchmarks/encoder_cache.py --manifest FILE [--steps 10] [--out benchmarks/encoder_cache.json]

The same steps of the same encoder twice: with features from the cache, and with pictures decoded and sent through the
frozen vision encoder and VAE, and prompts through the text encoder, in each step, as without a cache.
Beside wall time stands CPU time, which says the same on a machine that is busy with other things.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: see torch_threads in the profile

import numpy as np
import torch
from PIL import Image

from spotdiff_model.config import TrainConfig, spoken_template
from spotdiff_model.data.augmentations import augment
from spotdiff_model.data.features import FrozenFeatures
from spotdiff_model.data.pairs import TrainingPairs
from spotdiff_model.hub import vision_encoder
from spotdiff_model.trainer import DeviceStep, Objective
from spotdiff_model.training.setup import Prepared, prepare


@dataclass(frozen=True)
class Reencoding:
    """Stands in for :class:`FrozenFeatures`, and computes what is asked for each time; pictures are in memory."""

    prepared: Prepared
    pictures: dict[int, Image.Image]
    models_root: str | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.prepared.features, name)

    def tokens(self, places: np.ndarray, augmentations: np.ndarray) -> np.ndarray:
        rows = self.prepared.features.rows
        images = [
            augment(self.pictures[place], rows.keypoints[place], rows.sha256[place], number)[0]
            if number
            else self.pictures[place]
            for place, number in zip(places, augmentations, strict=True)
        ]
        return vision_encoder(self.prepared.encoder.config, self.models_root).tokens(images).numpy()

    def latents_of(self, places: np.ndarray) -> np.ndarray:
        return self.prepared.diffusion.latents([self.pictures[place] for place in places]).numpy()

    def prompt_features_of(self, places: np.ndarray) -> np.ndarray:
        return self.prepared.diffusion.prompt_features(list(self.prepared.features.rows.prompt[places])).numpy()


def steps_of(
    config: TrainConfig, prepared: Prepared, features: FrozenFeatures | Reencoding, count: int
) -> dict[str, float]:
    """Seconds of wall and CPU time that a step takes; one more before them warms up."""
    found: Any = features
    encoder = prepared.encoder.train()
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=config.learning_rate)
    pairs = TrainingPairs(prepared.features.rows, config.seed, config.reference, config.augmentations)
    template = spoken_template(prepared.profile)
    pseudo_tokens = encoder.config.num_pseudo_tokens
    objective = Objective(config, found, prepared.diffusion, prepared.diffusion.unet, pseudo_tokens, template)
    wall = cpu = 0.0
    for number in range(count + 1):
        if number == 1:
            wall, cpu = time.perf_counter(), time.process_time()
        parts, _ = objective.parts(encoder, pairs.batch(number, config.train_batch_size), DeviceStep(number))
        objective.total(parts).backward()
        optimizer.step()
        optimizer.zero_grad()
    return {"wall": (time.perf_counter() - wall) / count, "cpu": (time.process_time() - cpu) / count}


def compare(steps: int, **training: Any) -> dict[str, Any]:
    """Times both kinds of steps of a training with these fields of :class:`TrainConfig`."""
    config = TrainConfig(**training)
    prepared = prepare(config, lambda what, done, of: None)
    rows = prepared.features.rows
    reencoding = Reencoding(prepared, dict(rows.images(np.arange(len(rows)))), config.models_root)
    result: dict[str, Any] = {
        "cached": steps_of(config, prepared, prepared.features, steps),
        "encoded": steps_of(config, prepared, reencoding, steps),
        "steps": steps,
        "train_batch_size": config.train_batch_size,
        "noise_batch_size": config.noise_batch_size,
    }
    result["speedup"] = {clock: result["encoded"][clock] / result["cached"][clock] for clock in ("wall", "cpu")}
    return result


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", required=True)
    parser.add_argument("--models_root")
    parser.add_argument("--cache_dir", help="Default: a temporary folder.")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/encoder_cache.json"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cache = options.cache_dir or folder
        result = compare(options.steps, manifest=options.manifest, models_root=options.models_root, cache_dir=cache)
    options.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print(json.dumps(result, indent=1))  # noqa: T201


if __name__ == "__main__":
    main()
