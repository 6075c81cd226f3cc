"""Figures: any skeleton of 18 keypoints, dressed as an identity says."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.imaging.openpose18 import (
    L_ANKLE,
    L_ELBOW,
    L_HIP,
    L_KNEE,
    L_SHOULDER,
    L_WRIST,
    NECK,
    R_ANKLE,
    R_ELBOW,
    R_HIP,
    R_KNEE,
    R_SHOULDER,
    R_WRIST,
)

from .brush import Brush
from .cloth import paint_pattern
from .head import Head
from .identity import Identity
from .palette import COLORS, HAIR, RGB, SKIN, jitter
from .skeleton import Skeleton, length, unit

Points = NDArray[np.float64]
GIRTH = {"slim": 0.8, "medium": 1.0, "broad": 1.3}
WAIST = {"slim": 0.78, "medium": 0.9, "broad": 1.12}
SHOE: RGB = (58, 46, 44)


def draw_figure(
    canvas: Image.Image,
    mask: Image.Image,
    keypoints: NDArray[np.floating],
    identity: Identity,
    rng: np.random.Generator,
) -> None:
    """Draw a figure on ``canvas`` and set its pixels in ``mask`` to 255.

    Args:
        canvas: Square RGB picture, drawn on in place.
        mask: "L" picture of the same size, drawn on in place.
        keypoints: [18, 3] OpenPose order, x and y in image sides, confidence > 0 = visible.
            Coordinates outside 0..1 are welcome; limbs whose end is missing are carried on
            if they leave the picture, and left out otherwise.
        identity: Looks of the figure.
        rng: Source of the small shifts of colour.
    """
    i = identity
    skin = jitter(SKIN[i.skin], rng)
    shirt, bottom = jitter(COLORS[i.shirt_color], rng), jitter(COLORS[i.bottom_color], rng)
    second, shoe = jitter(COLORS[i.pattern_color], rng), jitter(SHOE, rng)
    hair = None if i.hair_style == "bald" else jitter(HAIR[i.hair_color], rng)
    hat = None if i.hat == "none" else jitter(COLORS[i.hat_color], rng)
    s = Skeleton.measure(keypoints, canvas.width)
    brush = Brush(canvas, mask)
    t, girth = s.torso, GIRTH[i.build]
    head = Head(brush, s, skin, hair, i.hair_style == "long", i.hat, hat)
    if s.face or not s.back:
        head.behind()
    _legs(brush, s, i.bottom, girth, skin, bottom, shoe)
    if i.bottom == "skirt":
        brush.polygon(_skirt(s, girth), bottom)
    neck = 0.15 * t * (0.6 + 0.4 * girth)
    brush.limb([(s.p[NECK] + s.down * 0.05 * t, s.centre, neck, neck, skin)])
    trunk = _trunk(s, girth, WAIST[i.build])
    brush.polygon(trunk, shirt)
    if i.shirt_pattern != "plain":
        paint_pattern(canvas, trunk, i.shirt_pattern, second, s.p[NECK], s.down, t)
    head.draw()
    _arms(brush, s, girth, skin, shirt)


def _legs(b: Brush, s: Skeleton, kind: str, girth: float, skin: RGB, cloth: RGB, shoe: RGB) -> None:
    t, p, ok = s.torso, s.p, s.ok
    g = 0.5 + 0.5 * girth
    thigh, knee, ankle = 0.165 * t * g, 0.125 * t * g, 0.09 * t * g
    hips = (p[R_HIP], p[L_HIP], thigh, thigh, cloth)
    b.limb([hips])
    for hip, kn, an in ((L_HIP, L_KNEE, L_ANKLE), (R_HIP, R_KNEE, R_ANKLE)):
        if not ok[kn]:
            continue
        bones = [(p[hip], p[kn], thigh, knee, skin if kind == "skirt" else cloth)]
        if ok[an]:
            toe = p[an] + s.down * 0.05 * t + s.head_right * 0.14 * t * s.turn
            b.limb([(p[an], toe, 0.1 * t, 0.1 * t, shoe)])
            shin = cloth if kind == "trousers" else skin
            bones.insert(0, (p[kn], p[an], knee * (0.95 if shin == cloth else 0.8), ankle, shin))
        b.limb(bones)
    b.limb([(p[R_HIP], p[L_HIP], thigh - b.line, thigh - b.line, cloth)])


def _across(s: Skeleton, a: int, b: int) -> Points:
    """Unit vector from the joint on the image's left to the one on its right."""
    d = s.p[b] - s.p[a]
    if length(d) < 0.25 * s.torso:
        return s.right
    return unit(d if np.dot(d, s.right) > 0 else -d)


def _trunk(s: Skeleton, girth: float, waist: float) -> Points:
    """Outline of the shirt without sleeves, [n, 2] pixels."""
    t = s.torso
    us, uh = _across(s, R_SHOULDER, L_SHOULDER), _across(s, R_HIP, L_HIP)
    top = (s.p[R_SHOULDER] + s.p[L_SHOULDER]) / 2
    hip = (s.p[R_HIP] + s.p[L_HIP]) / 2 + s.down * 0.06 * t
    hs = max(length(s.p[R_SHOULDER] - s.p[L_SHOULDER]) / 2, 0.2 * t) + 0.07 * t * girth
    hh = max(length(s.p[R_HIP] - s.p[L_HIP]) / 2, 0.17 * t) + 0.1 * t * girth
    mid, um = top * 0.42 + hip * 0.58, unit(us + uh)
    hm = (hs + hh) / 2 * waist
    up = -s.down * 0.1 * t
    rows = [
        (top + up * 1.2, us, 0.16 * t), (top + up * 0.7, us, hs * 0.82),
        (top - up * 0.4, us, hs), (mid, um, hm), (hip, uh, hh),
    ]  # fmt: skip
    left = [c - u * h for c, u, h in rows]
    right = [c + u * h for c, u, h in rows]
    return np.array(left + right[::-1])


def _skirt(s: Skeleton, girth: float) -> Points:
    """Trapezoid from the hips to near the knees, [4, 2] pixels."""
    t, p = s.torso, s.p
    u = _across(s, R_HIP, L_HIP)
    hip = (p[R_HIP] + p[L_HIP]) / 2
    half = max(length(p[R_HIP] - p[L_HIP]) / 2, 0.17 * t) + 0.12 * t * girth
    knees = []
    for h, k in ((R_HIP, R_KNEE), (L_HIP, L_KNEE)):
        end = p[k] if s.ok[k] else p[h] + s.down * 0.78 * t
        knees.append(p[h] + 0.85 * (end - p[h]))
    knees.sort(key=lambda q: float(np.dot(q, u)))
    flare = u * (0.2 + 0.06 * girth) * t
    reach = (knees[0] + knees[1]) / 2 - hip
    drop = s.down * max(0.0, 0.4 * t - float(np.dot(reach, s.down)))
    top = hip - s.down * 0.14 * t
    return np.array([top - u * half, top + u * half, knees[1] + flare + drop, knees[0] - flare + drop])


def _arms(b: Brush, s: Skeleton, girth: float, skin: RGB, shirt: RGB) -> None:
    t, p, ok = s.torso, s.p, s.ok
    g = 0.45 + 0.55 * girth
    upper, elbow, wrist = 0.13 * t * g, 0.1 * t * g, 0.075 * t * g
    for sho, elb, wri in ((L_SHOULDER, L_ELBOW, L_WRIST), (R_SHOULDER, R_ELBOW, R_WRIST)):
        if not ok[elb]:
            continue
        b.limb([(p[sho], p[elb], upper, elbow, shirt)])
        if ok[wri]:
            hand = p[wri] + unit(p[wri] - p[elb]) * 0.05 * t
            fore = (p[elb], p[wri], elbow * 0.88, wrist, skin)
            b.limb([fore, (hand, hand, 0.1 * t, 0.1 * t, skin)])
