"""Poses: a random body placed in a square picture, as OpenPose keypoints."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.imaging.openpose18 import HEAD, KEYPOINTS, L_KNEE, L_SHOULDER, NECK, R_KNEE, R_SHOULDER

from .body import Body, sample_body

FRAMINGS = ("whole", "knees", "upper")
FRAMING_ODDS = (0.6, 0.15, 0.25)
MIN_VISIBLE = 6


@dataclass(frozen=True, eq=False)
class Pose:
    """A skeleton in a picture; coordinates in image sides, x right, y down.

    Attributes:
        full: [18, 2] float32, true places of all joints, also outside the picture.
        present: [18] bool, False for points that are turned away or unknown.
        keypoints: [18, 3] float32 x, y, visible (0 or 1); missing points are all zero.
    """

    full: NDArray[np.float32]
    present: NDArray[np.bool_]
    keypoints: NDArray[np.float32]

    @classmethod
    def from_full(cls, full: NDArray[np.floating], present: NDArray[np.bool_]) -> Pose:
        """Cut a skeleton ([18, 2], image sides) to what the picture shows."""
        inside = present & ((full >= 0) & (full < 1)).all(axis=1)
        keypoints = np.zeros((KEYPOINTS, 3), dtype=np.float32)
        keypoints[inside, :2] = full[inside]
        keypoints[inside, 2] = 1
        return cls(full.astype(np.float32), present.astype(bool), keypoints)

    @classmethod
    def from_keypoints(cls, keypoints: NDArray[np.floating]) -> Pose:
        """Take somebody's keypoints [18, 3] (x, y in image sides, confidence > 0 = visible)."""
        points = np.asarray(keypoints, dtype=np.float32)
        return cls.from_full(points[:, :2], points[:, 2] > 0)

    @property
    def skeleton(self) -> NDArray[np.float32]:
        """[18, 3] full coordinates with ``present`` as confidence: what gets drawn."""
        return np.concatenate([self.full, self.present[:, None].astype(np.float32)], axis=1)


def _fit(rng: np.random.Generator, low: float, high: float, margin: float) -> float:
    """Shift that brings the span low..high into the picture, anywhere it fits."""
    first, last = margin - low, 1 - margin - high
    if first > last:
        return (first + last) / 2
    return float(rng.uniform(first, last))


def _place(rng: np.random.Generator, body: Body) -> NDArray[np.float64]:
    """Scale and shift a body ([18, 2], body heights) into the picture (image sides)."""
    p = body.points
    head = p[list(HEAD)].mean(axis=0)
    low = np.minimum(p.min(axis=0), head - 0.6 * body.head)
    high = np.maximum(p.max(axis=0), head + 0.4 * body.head)
    low[0], high[0] = low[0] - 0.03, high[0] + 0.03
    high[1] += 0.035  # shoes
    wide, tall = high - low
    framing = FRAMINGS[int(rng.choice(len(FRAMINGS), p=FRAMING_ODDS))]
    if framing == "whole":
        tallest = 0.95 if tall > 0.75 else 0.85
        scale = min(rng.uniform(min(0.6, 0.75 * tall), tallest) / tall, 0.97 / wide)
        dx = _fit(rng, low[0] * scale, high[0] * scale, 0.01)
        dy = _fit(rng, low[1] * scale, high[1] * scale, 0.01)
        if rng.random() < 0.1:  # the feet are cut off
            dy = 1 - (high[1] - rng.uniform(0.05, 0.14)) * scale
    else:
        top = rng.uniform(0.0, 0.22) if rng.random() < 0.85 else rng.uniform(-0.12, 0.3)
        knees = p[[R_KNEE, L_KNEE], 1].mean()
        cut = knees + rng.uniform(-0.05, 0.08) if framing == "knees" else rng.uniform(-0.14, 0.1)
        span = max(cut - low[1], 0.5 if framing == "knees" else 0.28)
        scale = min((1 - top) / span, 0.35 / (body.head * rng.uniform(1.0, 1.5)))
        dy = 1 - cut * scale if rng.random() < 0.5 else top - low[1] * scale
        centre = (p[NECK, 0] * 2 + head[0]) / 3
        dx = float(np.clip(rng.normal(0.5, 0.11), 0.22, 0.78)) - centre * scale
    return np.asarray(p * scale + [dx, dy])


def sample_pose(rng: np.random.Generator) -> Pose:
    """Draw a pose; at least six points are visible, with the neck and a shoulder."""
    while True:
        body = sample_body(rng)
        pose = Pose.from_full(_place(rng, body), body.present)
        seen = pose.keypoints[:, 2] > 0
        if seen.sum() >= MIN_VISIBLE and seen[NECK] and (seen[R_SHOULDER] or seen[L_SHOULDER]):
            return pose
