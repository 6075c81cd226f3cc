"""Manifests of exact renders: valid in every respect, and true, without a single diffusion step.

    path = write_rendered(folder / "v1.parquet", train=6, validation=1, test=1, subjects=4, backgrounds=4)

Each source is a pose of the miniature world, each subject and background an entry of the shipped banks, drawn from the
source's split as in a build. So the factors are known without error: what a model misses here is the model's fault.
Two to five milliseconds a picture.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline import banks, ids
from pipeline.config import BuildConfig, Profile, load_profile
from pipeline.imaging.phash import phash
from pipeline.imaging.png import to_png
from pipeline.imaging.skeleton import draw_pose
from pipeline.manifest.footer import describe
from pipeline.manifest.parts import MAX_PART_BYTES, PartsWriter
from tinyworld.world import Background, Identity, Pose, draw_figure, sample_pose

_OVERSAMPLING = 4
_SUBJECTS = 100
"""Entries of the bank that are drawn from: few, so that a handful of sources shows subjects in several poses."""


def write_rendered(
    path: Path | str,
    *,
    train: int = 6,
    validation: int = 1,
    test: int = 1,
    subjects: int = 4,
    backgrounds: int = 4,
    seed: int = 0,
    profile: Profile | None = None,
) -> Path:
    """Writes a manifest and returns its path.

    Args:
        path: ``….parquet``.
        train, validation, test: How many sources each split gets.
        subjects, backgrounds: How many of each per source.
        seed: The run's seed; settles which poses, subjects and backgrounds.
        profile: Goes into the footer; its picture size is drawn. Default: the tiny profile.
    """
    profile = profile or load_profile("tiny")
    config = BuildConfig(
        sources=("rendered",), manifest=str(path), subjects=subjects, backgrounds=backgrounds, seed=seed
    )
    wanted = {"train": train, "validation": validation, "test": test}
    writer = PartsWriter(str(path), describe(profile, config), MAX_PART_BYTES)
    try:
        for source, number in sorted(_sources(wanted, seed, profile)):
            for row in _rows(source, number, config, profile):
                writer.add(row)
        writer.close()
    except BaseException:
        writer.abort()
        raise
    return Path(path)


def _sources(wanted: dict[str, int], seed: int, profile: Profile) -> Iterator[tuple[str, int]]:
    """Source ids with their pose seeds, until each split has as many as it wants."""
    left = dict(wanted)
    for number in itertools.count():
        source = ids.source_id(f"rendered pose {number}")
        split = ids.split_of(source, seed, profile.splits)
        if left[split]:
            left[split] -= 1
            yield source, number
        if not any(left.values()):
            return


def _rows(source: str, number: int, config: BuildConfig, profile: Profile) -> Iterator[dict[str, Any]]:
    size = profile.sources.size
    pose = sample_pose(np.random.default_rng([number, 1]))
    split = ids.split_of(source, config.seed, profile.splits)
    pose_name = ids.pose_id(source, pose.keypoints.tolist())
    control = to_png(draw_pose(pose.keypoints, size, profile.poses.line_width))
    common = {
        "source_id": source,
        "pose_id": pose_name,
        "split": split,
        "control": {"bytes": control, "path": f"{pose_name}.control.png"},
        "keypoints": pose.keypoints.tolist(),
        "width": size,
        "height": size,
        "source_phash": ids.digest(["phash", source])[:16],
        "negative_prompt": "",
        "attempt": 0,
        **dict.fromkeys(("pose_score", "mask_score", "subject_kept"), 1.0),
        **dict.fromkeys(("clip_t_subject", "clip_t_background"), 0.3),
        **dict.fromkeys(("nsfw", "source_license", "source_attribution", "source_uri")),
    }
    bank = banks.load(profile.subject_bank)
    few = bank.model_copy(update={"entries": bank.entries[:_SUBJECTS]})
    who = few.draw(split, config.subjects, source, config.seed)
    where = banks.load(profile.background_bank).draw(split, config.backgrounds, source, config.seed)
    for subject in sorted(who, key=lambda entry: entry.id):
        subject_seed = ids.seed_for(source, "subjects", subject.id, "", 0, config.seed)
        for background in sorted(where, key=lambda entry: entry.id):
            seed = ids.seed_for(source, "variations", subject.id, background.id, 0, config.seed)
            image, mask = _draw(pose, subject, background, subject_seed, seed, size)
            name = ids.variation_id(source, subject.id, background.id)
            data = to_png(image)
            yield {
                **common,
                "variation_id": name,
                "subject_id": subject.id,
                "background_id": background.id,
                "image": {"bytes": data, "path": f"{name}.png"},
                "mask": {"bytes": to_png(mask), "path": f"{name}.mask.png"},
                "sha256": hashlib.sha256(data).hexdigest(),
                "phash": phash(image),
                "prompt": f"{subject.prompt}, {background.prompt}",
                "subject_prompt": subject.prompt,
                "background_prompt": background.prompt,
                "subject_seed": subject_seed,
                "background_seed": seed,
                "mask_area": float((np.asarray(mask) > 0).mean()),
            }


def _draw(
    pose: Pose,
    subject: banks.BankEntry,
    background: banks.BankEntry,
    subject_seed: int,
    background_seed: int,
    size: int,
) -> tuple[Image.Image, Image.Image]:
    """Picture and mask; a subject keeps its shades before all backgrounds, as after inpainting."""
    side = size * _OVERSAMPLING
    canvas = Background(**background.attributes).draw(np.random.default_rng(background_seed), side)  # type: ignore[arg-type]
    mask = Image.new("L", (side, side))
    identity = Identity(**subject.attributes)  # type: ignore[arg-type]
    draw_figure(canvas, mask, pose.skeleton, identity, np.random.default_rng(subject_seed))
    return canvas.reduce(_OVERSAMPLING), mask.reduce(_OVERSAMPLING).point(lambda value: 255 * (value >= 128))
