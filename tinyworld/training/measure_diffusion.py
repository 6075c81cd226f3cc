"""Measures the generating models on held-out scenes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np

from pipeline.config import Profile
from pipeline.imaging.openpose18 import MIRRORED
from pipeline.models.resolve import Model
from pipeline.tiny.pose_net import load_body
from tinyworld.judges.backgrounds import BackgroundJudge
from tinyworld.judges.colors import bottom_color, shirt_color
from tinyworld.training.held_out import background_of, identity_of, subject_images, variation_images
from tinyworld.training.measure import score_pose
from tinyworld.training.renders import EVALUATION_SEED, Renders
from tinyworld.world import Identity, render_seed, sample_scene

IDENTITIES = 8
"""Different identities generated in each held-out pose."""

_Item = TypeVar("_Item")


def score_subjects(profile: Profile, poses: int) -> dict[str, float]:
    """Generates held-out identities in held-out poses.

    Returns:
        keypoints_right: share of the asked keypoints that the pose network finds again within 0.05 of the side.
        shirt_color, bottom_color: share that is right, by pixels at the joints.
    """
    made: list[np.ndarray] = []
    asked: list[np.ndarray] = []
    for pose_number in range(poses):
        numbers = range(pose_number * IDENTITIES, (pose_number + 1) * IDENTITIES)
        for batch in _batches(numbers, profile.subjects.batch_size):
            made += list(subject_images(profile, EVALUATION_SEED + pose_number, batch))
        asked += [render_seed(EVALUATION_SEED + pose_number).keypoints] * IDENTITIES
    images, keypoints = np.stack(made), np.stack(asked)
    wearing = [identity_of(number) for number in range(poses * IDENTITIES)]
    figures = zip(images, keypoints, wearing, strict=True)
    body = load_body(Model(profile.models.pose).folder(), MIRRORED)
    return {
        "keypoints_right": score_pose(body, images, keypoints)["keypoints_right"],
        **_colors_right(figures),
    }


def score_backgrounds(profile: Profile, judge: BackgroundJudge, figures: int) -> dict[str, float]:
    """Paints held-out backgrounds around held-out figures; returns the share whose kind is right."""
    made: list[np.ndarray] = []
    for batch in _batches(range(figures), profile.backgrounds.batch_size):
        made += variation_images(profile, batch)
    masks = np.stack([render_seed(EVALUATION_SEED + number).mask for number in range(figures)])
    kinds = np.array([background_of(number).kind for number in range(figures)])
    return {"background_kind": float(np.mean(judge.kinds(np.stack(made), masks) == kinds))}


def ceilings(renders: Renders, judge: BackgroundJudge) -> dict[str, float]:
    """The same pixel judges on real renders: what they would say of perfect pictures."""
    scenes = [sample_scene(renders.first_seed + number) for number in range(len(renders))]
    figures = zip(renders.images, renders.keypoints, [scene.identity for scene in scenes], strict=True)
    kinds = np.array([scene.background.kind for scene in scenes])
    return {
        **_colors_right(figures),
        "background_kind": float(np.mean(judge.kinds(renders.images, renders.masks) == kinds)),
    }


def _batches(items: Sequence[_Item], size: int) -> list[Sequence[_Item]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def _colors_right(figures: Iterable[tuple[np.ndarray, np.ndarray, Identity]]) -> dict[str, float]:
    """Share of the pictures (with keypoints and who is asked for) that show the right colours, by pixels."""
    found = [(shirt_color(image, pose), bottom_color(image, pose), who) for image, pose, who in figures]
    return {
        "shirt_color": _share_right([(shirt, who.shirt_color) for shirt, _, who in found]),
        "bottom_color": _share_right([(bottom, who.bottom_color) for _, bottom, who in found]),
    }


def _share_right(pairs: Sequence[tuple[str | None, str]]) -> float:
    visible = [found == asked for found, asked in pairs if found is not None]
    return float(np.mean(visible))
