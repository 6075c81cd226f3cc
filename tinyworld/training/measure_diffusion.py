"""Measures the generating models on held-out scenes, through the very stages that a build runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image

from pipeline.config import BuildConfig, Profile
from pipeline.imaging.png import from_png, to_png
from pipeline.imaging.skeleton import draw_pose
from pipeline.models.resolve import Model
from pipeline.records import Subject, Variation
from pipeline.stages.base import batches
from pipeline.stages.recipe import recipe
from pipeline.tiny.pose_net import load_body
from tinyworld.training.judge import BackgroundJudge, bottom_color, shirt_color
from tinyworld.training.measure import score_pose
from tinyworld.training.renders import EVALUATION_SEED, Renders
from tinyworld.world import render_seed, sample_scene

IDENTITIES = 8
"""Different identities generated in each held-out pose."""


def score_subjects(profile: Profile, poses: int) -> dict[str, float]:
    """Generates held-out identities in held-out poses.

    Returns:
        keypoints_right: share of the asked keypoints that the pose network finds again within 0.05 of the side.
        shirt_color, bottom_color: share that is right, by pixels at the joints.
    """
    generate = _rounds(profile, "subjects").generate
    rows = [_subject(profile, EVALUATION_SEED + i, i * IDENTITIES + k) for i in range(poses) for k in range(IDENTITIES)]
    images = np.stack([_pixels(row.subject_image) for row in _generated(generate, rows)])
    keypoints = np.array([row.keypoints for row in rows], dtype=np.float32)
    wearing = [sample_scene(_identity_seed(int(row.subject_id))).identity for row in rows]
    tops = [(shirt_color(i, k), w.shirt_color) for i, k, w in zip(images, keypoints, wearing, strict=True)]
    bottoms = [(bottom_color(i, k), w.bottom_color) for i, k, w in zip(images, keypoints, wearing, strict=True)]
    body = load_body(Model(profile.models.pose).folder())
    return {
        "keypoints_right": score_pose(body, images, keypoints)["keypoints_right"],
        "shirt_color": _share_right(tops),
        "bottom_color": _share_right(bottoms),
    }


def score_backgrounds(profile: Profile, judge: BackgroundJudge, figures: int) -> dict[str, float]:
    """Paints held-out backgrounds around held-out figures; returns the share whose kind is right."""
    inpaint = _rounds(profile, "variations").generate
    rows = [_variation(profile, EVALUATION_SEED + i, EVALUATION_SEED + 50_000 + i) for i in range(figures)]
    done = _generated(inpaint, rows)
    images = np.stack([_pixels(row.image) for row in done])
    masks = np.stack([_pixels(row.mask) > 127 for row in done])
    asked = [sample_scene(EVALUATION_SEED + 50_000 + i).background.kind for i in range(figures)]
    return {"background_kind": float(np.mean(judge.kinds(images, masks) == np.array(asked)))}


def ceilings(renders: Renders, judge: BackgroundJudge) -> dict[str, float]:
    """The same pixel judges on real renders: what they would say of perfect pictures."""
    scenes = [sample_scene(renders.first_seed + i) for i in range(len(renders))]
    pairs = list(zip(renders.images, renders.keypoints, scenes, strict=True))
    kinds = np.array([s.background.kind for s in scenes])
    return {
        "shirt_color": _share_right([(shirt_color(i, k), s.identity.shirt_color) for i, k, s in pairs]),
        "bottom_color": _share_right([(bottom_color(i, k), s.identity.bottom_color) for i, k, s in pairs]),
        "background_kind": float(np.mean(judge.kinds(renders.images, renders.masks) == kinds)),
    }


def _rounds(profile: Profile, name: str) -> Any:
    config = BuildConfig(sources=("held-out",), manifest="held-out.parquet", subjects=1, backgrounds=1)
    return next(stage for stage in recipe(profile, config) if stage.name == name)


def _generated(stage: Any, rows: Sequence[Any]) -> list[Any]:
    return [row for batch in batches(rows, stage.batch_size) for row in stage.finish(batch, stage.denoise(batch))]


def _identity_seed(number: int) -> int:
    return EVALUATION_SEED + 100_000 + number


def _subject(profile: Profile, pose_seed: int, number: int) -> Subject:
    keypoints = render_seed(pose_seed).keypoints
    return Subject(
        source_id=f"{pose_seed:016x}",
        path="",
        subject_id=str(number),
        subject_prompt=sample_scene(_identity_seed(number)).identity.prompt(),
        subject_negative_prompt=profile.subjects.negative_prompt,
        keypoints=keypoints.tolist(),
        control=to_png(draw_pose(keypoints, profile.sources.size, profile.poses.line_width)),
    )


def _variation(profile: Profile, figure_seed: int, background_seed: int) -> Variation:
    figure, identity = render_seed(figure_seed), sample_scene(figure_seed).identity.prompt()
    background = sample_scene(background_seed).background.prompt()
    return replace(
        _subject(profile, figure_seed, 0).grow(Variation),
        # one source for all: they may share batches, since each has a subject of its own
        source_id="held-out",
        subject_id=str(figure_seed),
        subject_image=to_png(Image.fromarray(figure.image)),
        mask=to_png(Image.fromarray(figure.mask.astype(np.uint8) * 255)),
        background_id=str(background_seed),
        background_prompt=background,
        prompt=profile.backgrounds.prompt_template.format(subject=identity, background=background),
        negative_prompt=profile.backgrounds.negative_prompt,
    )


def _pixels(png: bytes | None) -> np.ndarray:
    assert png is not None
    return np.array(from_png(png))


def _share_right(pairs: Sequence[tuple[str | None, str]]) -> float:
    visible = [found == asked for found, asked in pairs if found is not None]
    return float(np.mean(visible))
