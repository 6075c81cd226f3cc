"""How many poses does the pose expert need? It alone, on exact renders of so many poses, judged on poses it never saw.

    python benchmarks/pose_expert.py [--poses 78 16000] [--pictures 16000] [--steps 2000]
    python benchmarks/pose_expert.py --poses 10000 --pictures 10000 --layers 0 2 4 0,2,4

As many pictures each time, each of another figure before another background; only the number of poses changes. So
what more poses add is told apart from what the frozen vision encoder's patches do not say at all. The second command
asks each of its hidden states by itself: with a pose for every picture that is the ceiling of what it holds.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Iterable
from typing import NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: see torch_threads in the profile

import numpy as np
import torch
from diffusers.optimization import get_cosine_schedule_with_warmup
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from pipeline.config import load_profile
from spotdiff_model import losses
from spotdiff_model.config import EncoderConfig, TrainConfig
from spotdiff_model.evaluation.probes.leakage import keypoints_within
from spotdiff_model.hub import vision_encoder
from spotdiff_model.model import PoseExpert
from spotdiff_model.training.setup import encoder_config
from tinyworld.training.renders import EVALUATION_SEED
from tinyworld.world.render import Scene, render, sample_scene

_BATCH = 64


class Pictures(NamedTuple):
    """``tokens`` ``[N, 1 + patches, channels]`` float16 and ``keypoints`` ``[N, 18, 3]``."""

    tokens: torch.Tensor
    keypoints: torch.Tensor


def scenes(count: int, poses: int, first_seed: int = 0) -> Iterable[Scene]:
    """``count`` scenes that share ``poses`` poses."""
    for number in range(count):
        pose = sample_scene(first_seed + number % poses).pose
        yield dataclasses.replace(sample_scene(first_seed + number), pose=pose)


def look(config: EncoderConfig, wanted: Iterable[Scene], count: int) -> Pictures:
    """Renders scenes and sends them through the frozen vision encoder; its states are those of ``config.layers``."""
    clip, tokens, keypoints, waiting = vision_encoder(config), [], [], []
    for number, scene in enumerate(track(wanted, f"{count} renders", count), start=1):
        shot = render(scene)
        keypoints.append(shot.keypoints)
        waiting.append(Image.fromarray(shot.image))
        if len(waiting) == _BATCH or number == count:
            tokens.append(clip.tokens(waiting).half())
            waiting = []
    return Pictures(torch.cat(tokens), torch.from_numpy(np.stack(keypoints)))


def train(config: EncoderConfig, data: Pictures, steps: int) -> PoseExpert:
    """The expert as the encoder has it, by the losses, the optimizer and the schedule of a training."""
    torch.manual_seed(0)
    width = len(config.layers) * config.channels
    expert = PoseExpert(width, config.width, config.grid, config.pose_dim)
    settings = TrainConfig(manifest="-")
    optimizer = torch.optim.AdamW(
        expert.parameters(), settings.learning_rate, (0.9, 0.98), weight_decay=settings.adam_weight_decay
    )
    schedule = get_cosine_schedule_with_warmup(optimizer, min(settings.lr_warmup_steps, steps), steps)
    rng = np.random.default_rng(0)
    for _ in track(range(steps), f"{steps} steps"):
        chosen = torch.from_numpy(rng.integers(len(data.tokens), size=_BATCH))
        seen, wanted = expert(data.tokens[chosen].float()), data.keypoints[chosen]
        loss = (
            losses.keypoint_regression(seen.keypoints, wanted)
            + losses.keypoint_places(seen.log_heatmap, wanted)
            + losses.keypoint_votes(seen.votes, wanted)
        )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(expert.parameters(), settings.max_grad_norm)
        optimizer.step()
        schedule.step()
    return expert.eval()


@torch.no_grad()
def share_right(expert: PoseExpert, data: Pictures) -> float:
    """Of the visible keypoints, within 0.05 of the picture's side."""
    found = [expert(part.float()).keypoints for part in data.tokens.split(_BATCH)]
    return keypoints_within(torch.cat(found).numpy(), data.keypoints.numpy())


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--poses", type=int, nargs="+", default=[78, 16_000], help="Numbers of poses to train on.")
    parser.add_argument("--pictures", type=int, default=16_000)
    parser.add_argument("--held_out", type=int, default=1_000, help="Pictures of unseen poses to judge on.")
    parser.add_argument("--steps", type=int, default=2_000)
    parser.add_argument("--layers", nargs="+", help="Hidden states to read, by commas; default: the encoder's own.")
    options = parser.parse_args()
    asked = [tuple(int(layer) for layer in each.split(",")) for each in options.layers or []]
    configs = [
        encoder_config(TrainConfig(manifest="-", layers=layers), load_profile("tiny"), "") for layers in asked or [None]
    ]
    every = sorted({layer for config in configs for layer in config.layers})
    whole = configs[0].model_copy(update={"layers": tuple(every)})
    unseen = look(whole, scenes(options.held_out, options.held_out, EVALUATION_SEED), options.held_out)
    table = Table("poses", "hidden states", "keypoints within 0.05: poses of the training", "unseen poses")
    for poses in options.poses:
        data = look(whole, scenes(options.pictures, poses), options.pictures)
        for config in configs:
            own, others = (_states(config, every, pictures) for pictures in (data, unseen))
            expert = train(config, own, options.steps)
            known = Pictures(*(values[: options.held_out] for values in own))
            shares = [f"{share_right(expert, pictures):.3f}" for pictures in (known, others)]
            table.add_row(f"{poses}", ",".join(map(str, config.layers)), *shares)
    Console().print(table)


def _states(config: EncoderConfig, every: list[int], pictures: Pictures) -> Pictures:
    """Of tokens with the hidden states ``every``, those that a config reads."""
    if list(config.layers) == every:
        return pictures
    apart = pictures.tokens.unflatten(2, (len(every), config.channels))
    chosen = apart[:, :, [every.index(layer) for layer in config.layers]]
    return Pictures(chosen.flatten(2), pictures.keypoints)


if __name__ == "__main__":
    main()
