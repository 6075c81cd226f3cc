"""How many training steps a second the cached features are worth, against encoding again at each step.

    python benchmarks/encoder_cache.py --manifest FILE [--steps 10] [--out benchmarks/encoder_cache.json]

The same steps of the same encoder twice: with features from the cache, and with pictures decoded and sent through the
frozen CLIP tower and VAE, and prompts through the text encoder, in each step, as a training without a cache does it.
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

from spotdiff_model.config import TrainConfig
from spotdiff_model.data import views
from spotdiff_model.data.features import Features
from spotdiff_model.data.pairs import Pairs
from spotdiff_model.data.tower import tower
from spotdiff_model.training.objective import Objective, Step
from spotdiff_model.training.setup import Prepared, prepare


@dataclass(frozen=True)
class Reencoding:
    """Stands in for :class:`Features`, and computes what is asked for each time; pictures are in memory."""

    prepared: Prepared
    pictures: dict[int, Image.Image]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.prepared.features, name)

    def tokens(self, places: np.ndarray, viewed: np.ndarray) -> np.ndarray:
        rows = self.prepared.features.rows
        images = [
            views.view(self.pictures[p], rows.keypoints[p], rows.sha256[p], v)[0] if v else self.pictures[p]
            for p, v in zip(places, viewed, strict=True)
        ]
        return tower(self.prepared.encoder.config).tokens(images).numpy()

    def latents_of(self, places: np.ndarray) -> np.ndarray:
        return self.prepared.diffusion.latents([self.pictures[place] for place in places]).numpy()

    def prompt_features_of(self, places: np.ndarray) -> np.ndarray:
        return self.prepared.diffusion.prompt_features(list(self.prepared.features.rows.prompt[places])).numpy()


def steps_of(config: TrainConfig, prepared: Prepared, features: Features | Reencoding, count: int) -> dict[str, float]:
    """Seconds of wall and CPU time that a step takes; one more before them warms up."""
    found: Any = features
    encoder = prepared.encoder.train()
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=config.learning_rate)
    pairs = Pairs(prepared.features.rows, config.seed, config.reference, config.views)
    template = prepared.profile.backgrounds.prompt_template
    words = encoder.config.num_words
    objective = Objective(config, found, prepared.diffusion, prepared.diffusion.unet, words, template)
    wall = cpu = 0.0
    for number in range(count + 1):
        if number == 1:
            wall, cpu = time.perf_counter(), time.process_time()
        parts, _ = objective.parts(encoder, pairs.batch(number, config.train_batch_size), Step(number))
        objective.total(parts).backward()
        optimizer.step()
        optimizer.zero_grad()
    return {"wall": (time.perf_counter() - wall) / count, "cpu": (time.process_time() - cpu) / count}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", required=True)
    parser.add_argument("--cache_dir", help="Default: a temporary folder.")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/encoder_cache.json"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        config = TrainConfig(manifest=options.manifest, cache_dir=options.cache_dir or folder)
        prepared = prepare(config, lambda what, done, of: None)
        rows = prepared.features.rows
        reencoding = Reencoding(prepared, dict(rows.images(np.arange(len(rows)))))
        result: dict[str, Any] = {
            "cached": steps_of(config, prepared, prepared.features, options.steps),
            "encoded": steps_of(config, prepared, reencoding, options.steps),
            "steps": options.steps,
            "train_batch_size": config.train_batch_size,
            "noise_batch_size": config.noise_batch_size,
        }
    result["speedup"] = {clock: result["encoded"][clock] / result["cached"][clock] for clock in ("wall", "cpu")}
    options.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print(json.dumps(result, indent=1))  # noqa: T201


if __name__ == "__main__":
    main()
