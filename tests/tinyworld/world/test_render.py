"""Renders: determinism, and that picture, mask, keypoints and caption agree."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.imaging.openpose18 import L_SHOULDER, NECK, R_SHOULDER
from tinyworld.world import (
    Background,
    Identity,
    Pose,
    Scene,
    render,
    render_seed,
    sample_pose,
    sample_scene,
)
from tinyworld.world.palette import CLOTHING, nearest

seeds = st.integers(0, 2**31)
quick = settings(max_examples=40, deadline=None)


@quick
@given(seeds)
def test_same_seed_same_bytes(seed: int) -> None:
    a, b = render_seed(seed), render_seed(seed)
    for name in ("image", "mask", "background_image", "keypoints"):
        assert getattr(a, name).tobytes() == getattr(b, name).tobytes()
    assert a.caption == b.caption


def test_seeds_differ() -> None:
    digests = {hashlib.sha256(render_seed(s).image.tobytes()).hexdigest() for s in range(60)}
    assert len(digests) == 60


@quick
@given(seeds)
def test_shapes_and_caption(seed: int) -> None:
    shot = render_seed(seed)
    assert shot.image.shape == shot.background_image.shape == (64, 64, 3)
    assert shot.image.dtype == shot.background_image.dtype == np.uint8
    assert shot.mask.shape == (64, 64)
    assert shot.mask.dtype == bool
    assert shot.keypoints.shape == (18, 3)
    assert shot.keypoints.dtype == np.float32
    assert shot.caption == f"{shot.identity.prompt()}, {shot.background.prompt()}"


@quick
@example(20047)
@given(seeds)
def test_mask_is_where_the_figure_changed_the_picture(seed: int) -> None:
    shot = render_seed(seed)
    # a sliver that covers less than half a pixel tints it by a level or two and is no part of the mask
    changed = np.abs(shot.image.astype(int) - shot.background_image).max(axis=2) > 2
    grown = np.pad(shot.mask, 1)
    near = np.zeros_like(shot.mask)
    for dy in range(3):
        for dx in range(3):
            near |= grown[dy : dy + 64, dx : dx + 64]
    assert not (changed & ~near).any(), "the figure changed pixels outside its mask"
    assert (changed & shot.mask).sum() >= 0.5 * shot.mask.sum()
    assert 0.01 < shot.mask.mean() < 0.9


def test_background_untouched_far_from_the_figure_over_many_seeds() -> None:
    shares = []
    for seed in range(60):
        shot = render_seed(seed)
        changed = np.abs(shot.image.astype(int) - shot.background_image).max(axis=2) > 12
        shares.append((changed & shot.mask).sum() / shot.mask.sum())
    assert np.mean(shares) > 0.93


def test_keypoints_lie_in_the_mask() -> None:
    hits = total = 0
    for seed in range(150):
        shot = render_seed(seed)
        for x, y, seen in shot.keypoints:
            if seen:
                total += 1
                hits += shot.mask[int(y * 64), int(x * 64)]
    assert hits / total > 0.985


@quick
@given(seeds)
def test_pose_limits(seed: int) -> None:
    pose = sample_pose(np.random.default_rng(seed))
    seen = pose.keypoints[:, 2] > 0
    assert seen.sum() >= 6
    assert seen[NECK]
    assert seen[R_SHOULDER] or seen[L_SHOULDER]
    assert set(np.unique(pose.keypoints[:, 2])) <= {0.0, 1.0}
    assert (pose.keypoints[~seen] == 0).all()
    assert ((pose.keypoints[:, :2] >= 0) & (pose.keypoints[:, :2] < 1)).all()
    np.testing.assert_array_equal(pose.full[seen], pose.keypoints[seen, :2])
    assert seen.sum() <= pose.present.sum()


def test_pose_variety() -> None:
    poses = [sample_pose(np.random.default_rng(s)) for s in range(1500)]
    seen = np.stack([p.keypoints[:, 2] for p in poses])
    full = np.stack([p.full for p in poses])
    behind = (full[:, L_SHOULDER, 0] < full[:, R_SHOULDER, 0]).mean()
    assert 0.03 < behind < 0.2
    assert 0.45 < seen[:, [10, 13]].max(axis=1).mean() < 0.8, "share of pictures with a foot"
    assert (full[:, [4, 7], 1] < full[:, [2, 5], 1]).any(axis=1).mean() > 0.2, "raised hands"
    assert 0.02 < (seen[:, 0] == 0).mean() < 0.2, "hidden noses"


@pytest.mark.parametrize("size", [32, 48, 64, 100, 256])
def test_any_size_shows_the_same_scene(size: int) -> None:
    shot, small = render_seed(11, size), render_seed(11, 64)
    assert shot.image.shape == (size, size, 3)
    assert shot.mask.shape == (size, size)
    assert abs(shot.mask.mean() - small.mask.mean()) < 0.02
    assert np.abs(shot.image.mean(axis=(0, 1)) - small.image.mean(axis=(0, 1))).max() < 4
    np.testing.assert_array_equal(shot.keypoints, small.keypoints)


def _standing(identity: Identity) -> Scene:
    p = np.array([
        (0.50, 0.22), (0.50, 0.33), (0.42, 0.33), (0.36, 0.46), (0.30, 0.56), (0.58, 0.33),
        (0.64, 0.46), (0.70, 0.56), (0.46, 0.57), (0.45, 0.74), (0.44, 0.90), (0.54, 0.57),
        (0.55, 0.74), (0.56, 0.90), (0.48, 0.20), (0.52, 0.20), (0.45, 0.21), (0.55, 0.21),
    ])  # fmt: skip
    points = np.concatenate([p, np.ones((18, 1))], axis=1)
    return Scene(identity, Pose.from_keypoints(points), Background("plain", "grey"), 1)


@pytest.mark.parametrize("shirt", CLOTHING)
def test_clothes_have_the_named_colours_at_the_joints(shirt: str) -> None:
    bottom = CLOTHING[(CLOTHING.index(shirt) + 3) % len(CLOTHING)]
    who = Identity("tan", "short", "black", "none", "none", shirt, "plain", "trousers", bottom, "medium")
    image = render(_standing(who)).image
    assert nearest(tuple(image[int(0.45 * 64), 32])) == shirt
    assert nearest(tuple(image[int(0.74 * 64), int(0.45 * 64)])) == bottom


@pytest.mark.parametrize("field", ["shirt_pattern", "hat", "hair_style", "bottom", "build", "skin"])
def test_every_attribute_shows(field: str) -> None:
    base = Identity("tan", "short", "black", "cap", "red", "blue", "plain", "trousers", "green", "medium")
    other = {
        "shirt_pattern": "dotted", "hat": "beanie", "hair_style": "long", "bottom": "skirt",
        "build": "broad", "skin": "dark",
    }[field]  # fmt: skip
    values = {**base.attributes(), field: other}
    a, b = render(_standing(base)).image, render(_standing(Identity(**values))).image
    assert (np.abs(a.astype(int) - b).max(axis=2) > 40).sum() >= 12


@settings(max_examples=60, deadline=None)
@given(seeds, st.lists(st.booleans(), min_size=18, max_size=18))
@example(0, [True, *[False] * 16, True])  # nose and left ear: a figure thinner than its outline
def test_any_subset_of_keypoints_can_be_drawn(seed: int, kept: list[bool]) -> None:
    scene = sample_scene(seed)
    points = scene.pose.keypoints * np.array(kept, dtype=np.float32)[:, None]
    shot = render(Scene(scene.identity, Pose.from_keypoints(points), scene.background, seed))
    assert shot.image.shape == (64, 64, 3)


def test_whole_body_from_keypoints_alone_looks_like_the_true_one() -> None:
    overlaps = []
    for seed in range(80):
        scene = sample_scene(seed)
        known = Pose.from_keypoints(scene.pose.keypoints)
        a = render(scene).mask
        b = render(Scene(scene.identity, known, scene.background, seed)).mask
        overlaps.append((a & b).sum() / (a | b).sum())
    assert np.mean(overlaps) > 0.9
