"""Scenes and their renders: a picture with everything that is true of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .background import Background
from .figure import draw_figure
from .identity import Identity
from .pose import Pose, sample_pose

STREAMS = {"identity": 0, "pose": 1, "background": 2, "layout": 3, "colour": 4}
MIN_CANVAS = 256


def stream(seed: int, name: str) -> np.random.Generator:
    """Generator of one named stream of a seed, independent of the others."""
    return np.random.default_rng([seed, STREAMS[name]])


@dataclass(frozen=True, eq=False)
class Scene:
    """Who, how and where; ``seed`` settles small shifts of layout and colour."""

    identity: Identity
    pose: Pose
    background: Background
    seed: int


@dataclass(frozen=True, eq=False)
class Render:
    """A drawn scene.

    Attributes:
        image: [size, size, 3] uint8 RGB.
        mask: [size, size] bool, True on the figure.
        background_image: [size, size, 3] uint8, the same place without the figure.
        keypoints: [18, 3] float32 OpenPose x, y (image sides) and visible (0 or 1).
        identity: Who is drawn.
        background: Where.
        caption: Identity and background in plain words.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    background_image: NDArray[np.uint8]
    keypoints: NDArray[np.float32]
    identity: Identity
    background: Background
    caption: str


def sample_scene(seed: int) -> Scene:
    """Draw a scene; a seed (>= 0) always gives the same one."""
    return Scene(
        identity=Identity.sample(stream(seed, "identity")),
        pose=sample_pose(stream(seed, "pose")),
        background=Background.sample(stream(seed, "background")),
        seed=seed,
    )


def render(scene: Scene, size: int = 64) -> Render:
    """Draw a scene at ``size`` x ``size`` pixels; the same bytes every time."""
    factor = max(2, math.ceil(MIN_CANVAS / size))
    side = size * factor
    canvas = scene.background.draw(stream(scene.seed, "layout"), side)
    empty = np.asarray(canvas.reduce(factor))
    mask = Image.new("L", (side, side))
    colours = stream(scene.seed, "colour")
    draw_figure(canvas, mask, scene.pose.skeleton, scene.identity, colours)
    return Render(
        image=np.asarray(canvas.reduce(factor)),
        mask=np.asarray(mask.reduce(factor)) >= 128,
        background_image=empty,
        keypoints=scene.pose.keypoints.copy(),
        identity=scene.identity,
        background=scene.background,
        caption=f"{scene.identity.prompt()}, {scene.background.prompt()}",
    )


def render_seed(seed: int, size: int = 64) -> Render:
    """``render(sample_scene(seed), size)``."""
    return render(sample_scene(seed), size)
