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


class Steps:
    """Training steps of a prepared encoder with these features, each under the clock."""

    def __init__(self, config: TrainConfig, prepared: Prepared, features: FrozenFeatures | Reencoding) -> None:
        found: Any = features
        self.config, self.encoder = config, prepared.encoder.train()
        self.optimizer = torch.optim.AdamW(self.encoder.parameters(), lr=config.learning_rate)
        self.pairs = TrainingPairs(prepared.features.rows, config.seed, config.reference, config.augmentations)
        template, pseudo_tokens = spoken_template(prepared.profile), self.encoder.config.num_pseudo_tokens
        unet = prepared.diffusion.unet
        self.objective = Objective(config, found, prepared.diffusion, unet, pseudo_tokens, template)

    def __call__(self, number: int) -> dict[str, float]:
        """Seconds of wall and CPU time."""
        wall, cpu = time.perf_counter(), time.process_time()
        batch = self.pairs.batch(number, self.config.train_batch_size)
        parts, _ = self.objective.parts(self.encoder, batch, DeviceStep(number))
        self.objective.total(parts).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def steps_of(
    config: TrainConfig, prepared: Prepared, features: FrozenFeatures | Reencoding, count: int
) -> dict[str, float]:
    """Mean seconds of wall and CPU time that a step takes; one more before them warms up."""
    step = Steps(config, prepared, features)
    step(0)
    taken = [step(number) for number in range(1, count + 1)]
    return {clock: sum(one[clock] for one in taken) / count for clock in ("wall", "cpu")}


def compare(steps: int, **training: Any) -> dict[str, Any]:
    """Times both kinds of steps, in turn, of a training with these fields of :class:`TrainConfig`."""
    config = TrainConfig(**training)
    prepared = prepare(config, lambda what, done, of: None)
    rows = prepared.features.rows
    reencoding = Reencoding(prepared, dict(rows.images(np.arange(len(rows)))), config.models_root)
    kinds = {
        "cached": Steps(config, prepared, prepared.features),
        "encoded": Steps(config, prepared, reencoding),
    }
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in kinds}
    for number in range(steps + 1):  # the first of each warms up
        for name, step in kinds.items():
            taken[name] += [step(number)]
    result: dict[str, Any] = {
        name: {clock: [one[clock] for one in found[1:]] for clock in ("wall", "cpu")} for name, found in taken.items()
    }
    for clock in ("wall", "cpu"):
        pairs = zip(result["encoded"][clock], result["cached"][clock], strict=True)
        result.setdefault("speedup", {})[clock] = sum(result["encoded"][clock]) / sum(result["cached"][clock])
        result.setdefault("speedup_by_pair", {})[clock] = [encoded / cached for encoded, cached in pairs]
    batches = {"train_batch_size": config.train_batch_size, "noise_batch_size": config.noise_batch_size}
    return {**result, "steps": steps, **batches}


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
