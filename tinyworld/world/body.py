"""Random bodies: limb lengths, joint angles and head turns, in units of body height."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.imaging.openpose18 import (
    KEYPOINTS,
    L_ANKLE,
    L_EAR,
    L_ELBOW,
    L_EYE,
    L_HIP,
    L_KNEE,
    L_SHOULDER,
    L_WRIST,
    NECK,
    NOSE,
    R_ANKLE,
    R_EAR,
    R_ELBOW,
    R_EYE,
    R_HIP,
    R_KNEE,
    R_SHOULDER,
    R_WRIST,
)

Points = NDArray[np.float64]

ARMS = ((R_SHOULDER, R_ELBOW, R_WRIST), (L_SHOULDER, L_ELBOW, L_WRIST))
LEGS = ((R_HIP, R_KNEE, R_ANKLE), (L_HIP, L_KNEE, L_ANKLE))
ARM_MODES = ("down", "hip", "raised", "wave", "cross", "front", "side", "any")
ARM_ODDS = (0.25, 0.11, 0.11, 0.14, 0.12, 0.1, 0.07, 0.1)
LEG_MODES = ("stand", "walk", "run", "sit", "squat")
LEG_ODDS = (0.42, 0.22, 0.14, 0.15, 0.07)


@dataclass(frozen=True)
class Body:
    """A body at its own scale.

    Attributes:
        points: [18, 2] joints in body heights, y down, mid-hip at the origin.
        present: [18] bool, False where a head point faces away from the viewer.
        head: Height of the head in body heights.
    """

    points: Points
    present: NDArray[np.bool_]
    head: float


def _down(angle: float, length: float) -> Points:
    """Vector of ``length``; 0 degrees points down, positive turns to the image's right."""
    a = math.radians(angle)
    return np.array([math.sin(a) * length, math.cos(a) * length])


def _arm(rng: np.random.Generator, side: float) -> tuple[float, float, float, float]:
    """Angles (upper, fore; degrees outward from down) and length factors of an arm."""
    u = rng.uniform
    mode = ARM_MODES[int(rng.choice(len(ARM_MODES), p=ARM_ODDS))]
    fu = ff = 1.0
    if mode == "down":
        a = u(-4, 26)
        b = a + u(-25, 15)
    elif mode == "hip":
        a, b = u(28, 58), u(-65, -25)
    elif mode == "raised":
        a = u(100, 178)
        b = a + u(-40, 60)
    elif mode == "wave":
        a, b = u(0, 80), u(110, 210)
    elif mode == "cross":
        a, b = u(-12, 22), u(-125, -55)
    elif mode == "front":
        a, b, fu, ff = u(-30, 40), u(-180, 180), u(0.4, 0.9), u(0.2, 0.9)
    elif mode == "side":
        a = u(65, 105)
        b = a + u(-35, 35)
    else:
        a, b = u(-60, 180), u(-180, 180)
    return a * side, b * side, fu, ff


def _legs(rng: np.random.Generator, yaw: float) -> list[tuple[float, float, float, float]]:
    """Angles (thigh, shin; degrees from down) and length factors, right leg first."""
    u = rng.uniform
    mode = LEG_MODES[int(rng.choice(len(LEG_MODES), p=LEG_ODDS))]
    turn = math.sin(math.radians(yaw))  # the walking direction in the picture
    legs = []
    stride = float(rng.choice([-1.0, 1.0])) * u(12, 38)
    front = math.copysign(1, math.cos(math.radians(yaw)))
    for s in (-front, front):
        ft = fs = 1.0
        if mode == "stand":
            a = s * u(-4, 14) + u(-3, 3)
            b = a + s * u(-10, 8)
        elif mode == "walk":
            a = stride * (turn + 0.25 * s) + u(-5, 5)
            b = a - turn * u(0, 40)
            ft, fs, stride = u(0.85, 1.0), u(0.7, 1.0), -stride
        elif mode == "run":
            a = s * u(-15, 75) * (1 - abs(turn)) + turn * u(-40, 85)
            b = a - (turn if abs(turn) > 0.3 else s) * u(10, 110)
            ft, fs = u(0.6, 1.0), u(0.5, 1.0)
        elif mode == "sit":
            a = turn * u(60, 95) + s * u(-5, 45) * (1 - abs(turn))
            b = u(-14, 14) - turn * u(-15, 15)
            ft = max(abs(turn), u(0.2, 0.75))
        else:
            a = turn * u(60, 115) + s * u(25, 75) * (1 - abs(turn))
            b = -0.5 * a + u(-15, 15)
            ft, fs = max(abs(turn), u(0.4, 0.9)), u(0.7, 1.0)
        legs.append((a, b, ft, fs))
    return legs


def _yaw(rng: np.random.Generator) -> float:
    kind = rng.random()
    if kind < 0.08:  # seen from behind
        return 180 + float(rng.uniform(-50, 50))
    if kind < 0.62:
        return float(np.clip(rng.normal(0, 14), -35, 35))
    return float(rng.uniform(-90, 90))


def _head(rng: np.random.Generator, points: Points, yaw: float, lean: float, size: float) -> NDArray[np.bool_]:
    """Fill in the five head points; return which of the 18 points face the viewer."""
    yaw += float(np.clip(rng.normal(0, 16), -45, 45))
    tilt = lean * rng.uniform(0.2, 1) + rng.normal(0, 8)
    pitch = rng.normal(0, 0.09)
    reach = size * rng.uniform(0.66, 0.95) if rng.random() < 0.75 else size * rng.uniform(0.4, 0.66)
    down, across = _down(-tilt, 1.0), _down(90 - tilt, 1.0)
    centre = points[NECK] - down * reach
    facing = math.sin(math.radians(rng.normal(0, 1) + yaw)) * 0.04 * size
    r = 0.35 * size

    def put(joint: int, degrees: float, depth: float, height: float) -> None:
        x = r * depth * math.sin(math.radians(yaw + degrees)) + facing
        points[joint] = centre + across * x + down * height * size

    put(NOSE, 0, 1.15, 0.12 + pitch)
    put(R_EYE, -24, 0.98, -0.01 + pitch)
    put(L_EYE, 24, 0.98, -0.01 + pitch)
    put(R_EAR, -90, 0.9, 0.04 - pitch / 2)
    put(L_EAR, 90, 0.9, 0.04 - pitch / 2)

    present = np.ones(KEYPOINTS, dtype=bool)
    turn = (yaw + 180) % 360 - 180
    guessed = rng.random() < 0.25  # some detectors report hidden points as well
    if not guessed:
        present[NOSE] = abs(turn) < 105
        present[R_EYE] = -90 < turn - 32 < 90 or abs(turn) < 62
        present[L_EYE] = -90 < turn + 32 < 90 or abs(turn) < 62
        present[[R_EYE, L_EYE]] &= abs(turn) < 120
        present[L_EAR] = not 35 < turn < 145
        present[R_EAR] = not -145 < turn < -35
    return present


def sample_body(rng: np.random.Generator) -> Body:
    """Draw proportions, a yaw, a lean and the angles of all limbs."""
    yaw = _yaw(rng)
    lean = float(np.clip(rng.normal(0, 6), -16, 16)) if rng.random() < 0.82 else rng.uniform(-45, 45)
    size = 0.143 * rng.uniform(0.78, 1.45)

    def bone(length: float) -> float:
        short = rng.uniform(0.4, 1.0) if rng.random() < 0.25 else 1.0
        return float(length * rng.uniform(0.8, 1.2) * short)

    points = np.zeros((KEYPOINTS, 2))
    points[NECK] = _down(180 - lean, 0.3 * rng.uniform(0.85, 1.15))
    across = _down(90 - lean * rng.uniform(0.5, 1.2) + rng.normal(0, 5), 1.0)
    half = 0.11 * rng.uniform(0.85, 1.2) * math.cos(math.radians(yaw))
    points[R_SHOULDER], points[L_SHOULDER] = points[NECK] - across * half, points[NECK] + across * half
    half_hip = 0.06 * rng.uniform(0.8, 1.25) * math.cos(math.radians(yaw + rng.normal(0, 14)))
    tilt = _down(90 - lean * 0.4 + rng.normal(0, 4), half_hip)
    points[R_HIP], points[L_HIP] = -tilt, tilt

    front = math.copysign(1, math.cos(math.radians(yaw)))
    turn = math.sin(math.radians(yaw))
    sides = (-front, front)
    if rng.random() < abs(turn):  # both arms reach where the body faces
        sides = (math.copysign(1, turn), math.copysign(1, turn))
    for (shoulder, elbow, wrist), side in zip(ARMS, sides, strict=True):
        a, b, fu, ff = _arm(rng, side)
        points[elbow] = points[shoulder] + _down(a - lean, bone(0.165) * fu)
        points[wrist] = points[elbow] + _down(b - lean, bone(0.15) * ff)
    for (hip, knee, ankle), (a, b, ft, fs) in zip(LEGS, _legs(rng, yaw), strict=True):
        points[knee] = points[hip] + _down(a, bone(0.235) * ft)
        points[ankle] = points[knee] + _down(b, bone(0.235) * fs)
    present = _head(rng, points, yaw, lean, size)
    return Body(points, present, size)
