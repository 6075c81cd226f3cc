"""How fast this machine is: the build's own stages on one pose, without a build around them; for ``spotdiff bench``."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from pipeline.config import BuildConfig, Profile, UserError
from pipeline.imaging.openpose18 import KEYPOINTS
from pipeline.imaging.png import to_png
from pipeline.imaging.skeleton import draw_pose
from pipeline.models.device import device
from pipeline.records import Posed, Subject
from pipeline.runner.speeds import Speeds, StageSpeed, family_of
from pipeline.stages.recipe import recipe
from pipeline.stages.rounds import Rounds

Rows = list[Any]
_STANDING = (
    (0.50, 0.16), (0.50, 0.27), (0.42, 0.27), (0.38, 0.39), (0.37, 0.50), (0.58, 0.27), (0.62, 0.39), (0.63, 0.50),
    (0.45, 0.51), (0.44, 0.68), (0.44, 0.86), (0.55, 0.51), (0.56, 0.68), (0.56, 0.86), (0.48, 0.14), (0.52, 0.14),
    (0.46, 0.15), (0.54, 0.15),
)  # fmt: skip
"""A figure that stands upright: x and y of OpenPose's 18 joints."""


def bench(profile: Profile, config: BuildConfig, workers: int, seconds: float, say: Callable[[str], None]) -> Speeds:
    """Measures both pipelines and what looks at their pictures, after a batch that loads and warms up.

    Args:
        profile: Whose models.
        config: Its ``models_root`` counts, and how many subjects and backgrounds a source has.
        workers: Threads side by side, as in a build.
        seconds: How long each pipeline runs at least.
        say: Told what is being done.
    """
    stages = [stage for stage in recipe(profile, config) if isinstance(stage, Rounds)]
    size, found = profile.sources.size, []
    steps_of = (profile.subjects.num_inference_steps, profile.backgrounds.num_inference_steps)
    blank: Rows = stages[0].expand([_posed(profile)])
    for stage, steps in zip(stages, steps_of, strict=True):
        batch = blank[: stage.generate.batch_size]
        say(f"{stage.name}: loading, and a first batch of {len(batch)} pictures")
        finished = stage.generate.finish(batch, stage.generate.denoise(batch))
        _judge(stage, finished)
        say(f"{stage.name}: {workers} at a time for {seconds:g} s")
        denoised = _rate(partial(_denoise, stage, batch), workers, seconds)
        judged = _rate(partial(_judge, stage, finished), workers, seconds / 2)
        found.append(StageSpeed(steps_per_s=denoised * len(batch) * steps, judges_per_s={"all": judged * len(batch)}))
        if stage is stages[0]:
            blank = stages[1].expand([with_ellipse(row, size) for row in finished if isinstance(row, Subject)])
    return Speeds(
        gpu=_device_name(),
        family=family_of(profile),
        size=size,
        conditions=f"batches of {stages[0].generate.batch_size} and {stages[1].generate.batch_size}, {workers} threads",
        source=f"spotdiff bench --profile {profile.name}, {time.strftime('%Y-%m-%d')}",
        subjects=found[0],
        backgrounds=found[1],
    )


def _rate(work: Callable[[], object], workers: int, seconds: float) -> float:
    """How often a second the work is done by so many threads; each begins anew until the time is over."""
    begun = time.perf_counter()

    def run(_: int) -> int:
        count = 0
        while not count or time.perf_counter() - begun < seconds:
            work()
            count += 1
        return count

    with ThreadPoolExecutor(workers) as pool:
        done = sum(pool.map(run, range(workers)))
    return done / (time.perf_counter() - begun)


def _judge(stage: Rounds, rows: Sequence[Any]) -> None:
    """The stage's steps, each on all rows: a verdict of an earlier one spares the later ones nothing here."""
    for step in stage.steps:
        done = list(step.process(rows))
        if failed := next((row for row in done if row.error), None):
            raise UserError(f"bench: {step.name} failed: {failed.error}")
        rows = [row if row.ok else replace(row, status="ok", reason=None) for row in done]


def _denoise(stage: Rounds, rows: Rows) -> None:
    """Returns when the device has made the pictures."""
    stage.generate.denoise(rows).flatten()[0].item()


def _posed(profile: Profile) -> Posed:
    keypoints = np.array([(x, y, 1.0) for x, y in _STANDING])
    assert len(keypoints) == KEYPOINTS
    size = profile.sources.size
    return Posed(
        source_id="0" * 16,
        path="bench",
        pose_id="bench",
        split="train",
        keypoints=keypoints.tolist(),
        control=to_png(draw_pose(keypoints, size, profile.poses.line_width)),
    )


def with_ellipse(row: Subject, size: int) -> Subject:
    """A subject with an ellipse for its mask, whatever the segmenter found."""
    y, x = np.mgrid[:size, :size] / size
    inside = ((x - 0.5) / 0.18) ** 2 + ((y - 0.5) / 0.42) ** 2 < 1
    return replace(row, mask=to_png(Image.fromarray((inside * 255).astype(np.uint8))), mask_area=float(inside.mean()))


def _device_name() -> str:
    import torch

    return torch.cuda.get_device_name().lower() if device().type == "cuda" else "cpu"
