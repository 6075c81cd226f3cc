"""Trains the pose network on renders, renders as the autoencoder shows them, pictures of two people and empty places.

Targets are drawn on the network's grid: a Gaussian at each joint and at each person's centre (the mean of the visible
joints), and in the cells around a joint the ways to the joint and to its person's centre.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.imaging.openpose18 import KEYPOINTS, L_SHOULDER, MIRRORED, NECK, NOSE, R_SHOULDER
from pipeline.tiny.pose_net import (
    KEYPOINT_CHANNELS,
    PoseMaps,
    PoseNet,
    PoseNetConfig,
    TinyBody,
    load_body,
    prepare,
    save_pose_net,
)
from tinyworld.training.augment import degrade, generator_of, mirror
from tinyworld.training.autoencoder import cached_decodings, round_trip
from tinyworld.training.loop import Losses, Recipe, fit
from tinyworld.training.measure import score_pose
from tinyworld.training.pairs import TwoPeople, load_pairs
from tinyworld.training.renders import EVALUATION_SEED, Renders, load_renders

RECIPE = Recipe(steps=16_000, batch_size=16, learning_rate=3e-3, warmup=300, decay=0.5, mixed_precision=True)
TUNING = Recipe(steps=6000, batch_size=16, learning_rate=1.5e-3, warmup=100, decay=0.7, mixed_precision=True)
"""For a network that begins with the shipped weights."""
CONFIG = PoseNetConfig()
PAIRS = 8000
PAIR_SHARE, EMPTY_SHARE = 0.12, 0.05
TURNED_SHARE = 0.35
"""Of the single figures: seen from the side or from behind, where left and right are hard. In the world: one in six."""
DECODED_SHARE = 0.4
"""Of the single figures: seen through the autoencoder."""
_SIGMA = 0.75
_REACH = 1.6
"""Cells around a joint in which the ways are learned: the peak may come to lie beside the joint's own cell."""


class Targets(NamedTuple):
    """What :class:`PoseMaps` should be.

    Attributes:
        heatmaps: [B, 19, G, G] in 0..1, exactly 1 in the cell of a joint.
        care: [B, 19, G, G] 0 around joints that another person hides: neither answer is wrong there.
        offset, centre: [B, 18, 2, G, G].
        near: [B, 18, G, G] 1 where offset and centre count.
    """

    heatmaps: Tensor
    care: Tensor
    offset: Tensor
    centre: Tensor
    near: Tensor


def draw_targets(people: Tensor, grid: int) -> Targets:
    """Targets of B pictures with at most P people.

    Args:
        people: [B, P, 18, 3] x, y in image sides and 1 visible, 0 missing, -1 hidden.
    """
    seen = (people[..., 2] > 0).float()
    middle = (people[..., :2] * seen[..., None]).sum(2) / seen.sum(2).clamp(min=1)[..., None]  # [B, P, 2]
    centres = torch.cat([middle, (seen.sum(2) > 0).float()[..., None]], dim=-1)
    points = torch.cat([people, centres[:, :, None]], dim=2)  # [B, P, 19, 3]

    axis = torch.arange(grid) + 0.5
    cells = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=-1)  # [G, G, 2] x, y in cells
    way = points[..., None, None, :2] * grid - cells  # [B, P, 19, G, G, 2]
    bump = torch.exp(-(points[..., None, None, :2].mul(grid).floor() + 0.5 - cells).pow(2).sum(-1) / (2 * _SIGMA**2))
    state = points[..., 2][..., None, None]
    heatmaps = (bump * (state > 0)).amax(1)
    care = 1 - (bump * (state < 0)).amax(1).gt(0.1).float()

    distance = way[:, :, :KEYPOINT_CHANNELS].norm(dim=-1) + 1e3 * (state[:, :, :KEYPOINT_CHANNELS] <= 0)
    nearest, person = distance.min(dim=1)  # [B, 18, G, G]: where two people meet, each cell serves the nearer one
    pick = person[:, None, ..., None].expand(-1, 1, -1, -1, -1, 2)
    offset = way[:, :, :KEYPOINT_CHANNELS].gather(1, pick)[:, 0]
    to_centre = (middle[:, :, None, None, None] - cells / grid).expand(-1, -1, KEYPOINT_CHANNELS, -1, -1, -1)
    centre = to_centre.gather(1, pick)[:, 0]
    return Targets(heatmaps, care, offset.movedim(-1, 2), centre.movedim(-1, 2), (nearest < _REACH).float())


def losses_of(maps: PoseMaps, targets: Targets) -> Losses:
    """Penalty-reduced focal loss on the heatmaps (as CenterNet's), L1 on the ways."""
    maps = PoseMaps(*(part.float() for part in maps))  # in bfloat16 a sure yes has an infinite loss
    p = maps.heatmaps.sigmoid().clamp(1e-4, 1 - 1e-4)
    hit = targets.heatmaps.eq(1).float()
    loss = hit * (1 - p).pow(2) * p.log() + (1 - hit) * (1 - targets.heatmaps).pow(4) * p.pow(2) * (1 - p).log()
    near = targets.near[:, :, None]
    count = near.sum().clamp(min=1)
    return {
        "heatmaps": -(loss * targets.care).sum() / hit.sum().clamp(min=1),
        "offset": (F.smooth_l1_loss(maps.offset, targets.offset, reduction="none", beta=0.1) * near).sum() / count,
        "centre": 4 * (F.smooth_l1_loss(maps.centre, targets.centre, reduction="none", beta=0.02) * near).sum() / count,
    }


def is_turned(keypoints: np.ndarray) -> np.ndarray:
    """Which figures [N, 18, 3] are seen from the side or from behind: [N] bool."""
    nose, neck, right, left = (keypoints[:, joint] for joint in (NOSE, NECK, R_SHOULDER, L_SHOULDER))
    head = np.linalg.norm((nose - neck)[:, :2], axis=1)
    seen = (nose[:, 2] > 0) & (neck[:, 2] > 0) & (right[:, 2] > 0) & (left[:, 2] > 0)
    return np.asarray(~seen | (left[:, 0] - right[:, 0] < head))


def draw_batch(
    renders: Renders,
    turned: np.ndarray,
    pairs: TwoPeople,
    count: int,
    rng: np.random.Generator,
    decoded: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Pictures [N, 64, 64, 3], half of them mirrored, and people [N, 2, 18, 3] (missing people are all zero).

    Args:
        turned: Indices of the renders that are drawn more often.
        decoded: The renders as the autoencoder shows them.
    """
    kinds = rng.choice(3, size=count, p=[1 - PAIR_SHARE - EMPTY_SHARE, PAIR_SHARE, EMPTY_SHARE])
    images, people = [], np.zeros((count, 2, KEYPOINTS, 3), np.float32)
    for kind, points in zip(kinds, people, strict=True):
        i = int(rng.integers(len(pairs) if kind == 1 else len(renders)))
        if kind == 0 and len(turned) and rng.random() < TURNED_SHARE:
            i = int(rng.choice(turned))
        soft = kind == 0 and rng.random() < DECODED_SHARE
        images.append(
            decoded[i] if decoded is not None and soft else (renders.images, pairs.images, renders.backgrounds)[kind][i]
        )
        if kind == 0:
            points[0] = renders.keypoints[i]
        elif kind == 1:
            points[:] = pairs.keypoints[i]
        if rng.random() < 0.5:
            images[-1], points[:] = mirror(images[-1], points)
    return degrade(np.stack(images), rng), people


def train(
    out_dir: Path,
    work_dir: Path,
    renders: Renders,
    recipe: Recipe = RECIPE,
    config: PoseNetConfig = CONFIG,
    pairs: int = PAIRS,
    vae: AutoencoderKL | None = None,
    start: Path | None = None,
) -> PoseNet:
    """Trains, measures at each checkpoint, and writes ``config.json`` and ``model.safetensors`` to ``out_dir``.

    Args:
        vae: Half of the figures are seen through it.
        start: Folder of weights to begin with, instead of random ones.
    """
    doubles = load_pairs(work_dir, pairs)
    turned = np.flatnonzero(is_turned(renders.keypoints))
    held_out = load_renders(work_dir, 256, EVALUATION_SEED)
    decoded = seen_through = None
    if vae is not None:
        decoded = cached_decodings(vae, renders, work_dir / "latents")
        seen_through = round_trip(vae, held_out.images)

    def losses(model: nn.Module, generator: torch.Generator) -> Losses:
        rng = generator_of(generator)
        images, people = draw_batch(renders, turned, doubles, recipe.batch_size, rng, decoded)
        return losses_of(model(prepare(images)), draw_targets(torch.from_numpy(people), config.grid))

    def measure(model: nn.Module) -> str:
        assert isinstance(model, PoseNet)
        body = TinyBody(model, MIRRORED)
        found = score_pose(body, held_out.images, held_out.keypoints)
        if seen_through is not None:
            found["decoded"] = score_pose(body, seen_through, held_out.keypoints)["keypoints_right"]
        return " ".join(f"{name} {value:.4f}" for name, value in found.items())

    torch.manual_seed(recipe.seed)
    # bfloat16 convolutions are twice as fast in this layout
    fresh = PoseNet(config) if start is None else load_body(start, MIRRORED).model
    name = "pose" if start is None else "pose-tuned"
    model = fit(name, fresh.to(memory_format=torch.channels_last), losses, recipe, work_dir, measure)
    assert isinstance(model, PoseNet)
    save_pose_net(model, out_dir)
    return model
