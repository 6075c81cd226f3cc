"""From keypoints to the measures a drawing needs, with cut-off limbs carried on."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pipeline.imaging.openpose18 import (
    HEAD,
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


def length(v: Points) -> float:
    """Euclidean length of a 2-vector."""
    return float(np.hypot(v[0], v[1]))


def unit(v: Points) -> Points:
    """``v`` scaled to length 1 (a zero vector stays zero)."""
    return v / max(length(v), 1e-9)


def _origin() -> Points:
    return np.zeros(2)


@dataclass
class Skeleton:
    """Joints in pixels of the canvas and what follows from them.

    Attributes:
        p: [18, 2] joints. ok: [18] bool, which of them may be used.
        size: Side of the canvas in pixels.
        torso: Length from neck to mid-hip, the unit of all thicknesses, in pixels.
        down, right: Unit vectors of the torso, from neck to hip and across to the right.
        back: Whether the figure is seen from behind.
        head: Height of the head in pixels. centre: its middle, at the eyes' height.
        head_down, head_right: Unit vectors of the head. turn: -1 (faces left) .. 1 (right).
        nod: How far the eyes are below the middle of the head, in heads.
        face: Whether the face is to be seen.
    """

    p: Points
    ok: NDArray[np.bool_]
    size: int
    torso: float = 0.0
    down: Points = field(default_factory=_origin)
    right: Points = field(default_factory=_origin)
    back: bool = False
    head: float = 0.0
    centre: Points = field(default_factory=_origin)
    head_down: Points = field(default_factory=_origin)
    head_right: Points = field(default_factory=_origin)
    turn: float = 0.0
    nod: float = 0.0
    face: bool = False

    @classmethod
    def measure(cls, keypoints: NDArray[np.floating], size: int) -> Skeleton:
        """Measure keypoints [18, 3] (image sides) on a canvas of ``size`` pixels."""
        k = np.asarray(keypoints, dtype=np.float64)
        s = cls(k[:, :2] * size, k[:, 2] > 0, size)
        s._trunk()
        s._limbs()
        s._head()
        return s

    def _pair(self, a: int, b: int) -> bool:
        return bool(self.ok[a] and self.ok[b])

    def _set(self, joint: int, point: Points) -> None:
        self.p[joint], self.ok[joint] = point, True

    def _trunk(self) -> None:
        p, ok = self.p, self.ok
        sho = [j for j in (R_SHOULDER, L_SHOULDER) if ok[j]]
        if not ok[NECK]:
            known = sho or [j for j in HEAD if ok[j]] or [int(j) for j in np.flatnonzero(ok)]
            self._set(NECK, p[known].mean(axis=0) if known else np.full(2, self.size / 2))
        for a, b in ((R_SHOULDER, L_SHOULDER), (L_SHOULDER, R_SHOULDER)):
            if not ok[a] and ok[b]:
                self._set(a, 2 * p[NECK] - p[b])
        width = length(p[L_SHOULDER] - p[R_SHOULDER]) if self._pair(R_SHOULDER, L_SHOULDER) else 0.0
        faces = [length(p[j] - p[NECK]) for j in HEAD if ok[j]]
        guess = max([1.3 * width, 2.1 * max(faces, default=0.0)]) or 0.3 * self.size
        for a, b, side in ((R_HIP, L_HIP, -1), (L_HIP, R_HIP, 1)):
            if not ok[a] and ok[b]:
                self._set(a, p[b] + 0.3 * side * np.array([width, 0.0]))
        if not self._pair(R_HIP, L_HIP):
            across = unit(p[L_SHOULDER] - p[R_SHOULDER]) if width > 0.2 * guess else np.array([1.0, 0.0])
            below = np.array([-across[1], across[0]])
            below = below if below[1] >= 0 else -below
            if not ok[R_SHOULDER]:
                self._set(R_SHOULDER, p[NECK] - 0.36 * guess * across)
                self._set(L_SHOULDER, p[NECK] + 0.36 * guess * across)
            self._set(R_HIP, p[NECK] + below * guess + 0.55 * (p[R_SHOULDER] - p[NECK]))
            self._set(L_HIP, p[NECK] + below * guess + 0.55 * (p[L_SHOULDER] - p[NECK]))
        elif not ok[R_SHOULDER]:
            self._set(R_SHOULDER, p[NECK] + 1.6 * (p[R_HIP] - p[L_HIP]) / 2)
            self._set(L_SHOULDER, p[NECK] + 1.6 * (p[L_HIP] - p[R_HIP]) / 2)
        spine = (p[R_HIP] + p[L_HIP]) / 2 - p[NECK]
        width = length(p[L_SHOULDER] - p[R_SHOULDER])
        self.torso = max(length(spine), 1.1 * width, 0.06 * self.size)
        self.down = unit(spine) if length(spine) > 0.2 * width else np.array([0.0, 1.0])
        self.right = np.array([self.down[1], -self.down[0]])
        self.back = bool(np.dot(p[L_SHOULDER] - p[R_SHOULDER], self.right) < -0.15 * self.torso)

    def _limbs(self) -> None:
        """Carry a limb on where its end is missing because it leaves the picture."""
        side = -1.0 if not self.back else 1.0
        for chain, lengths, s in (
            ((R_SHOULDER, R_ELBOW, R_WRIST), (0.55, 0.5), side),
            ((L_SHOULDER, L_ELBOW, L_WRIST), (0.55, 0.5), -side),
            ((R_HIP, R_KNEE, R_ANKLE), (0.78, 0.78), 0.2 * side),
            ((L_HIP, L_KNEE, L_ANKLE), (0.78, 0.78), -0.2 * side),
        ):
            way = unit(self.down + 0.45 * s * self.right)
            if self._pair(chain[0], chain[2]) and not self.ok[chain[1]]:
                self._bend(*chain, lengths[0] * self.torso, s)
            for (a, b), share in zip(pairwise(chain), lengths, strict=True):
                if self.ok[a] and self.ok[b]:
                    way = unit(self.p[b] - self.p[a])
                elif self.ok[a]:
                    end = self.p[a] + way * share * self.torso
                    if end.min() < 0 or end.max() >= self.size:
                        self._set(b, end)

    def _bend(self, a: int, middle: int, b: int, bone: float, side: float) -> None:
        """Put a missing elbow or knee between its neighbours, bent outward."""
        way = self.p[b] - self.p[a]
        out = unit(np.array([-way[1], way[0]]))
        if np.dot(out, self.right) * side < 0:
            out = -out
        depth = max(bone**2 - (length(way) / 2) ** 2, 0.0) ** 0.5
        self._set(middle, self.p[a] + way / 2 + out * depth)

    def _head(self) -> None:
        p, ok, t = self.p, self.ok, self.torso
        ears, eyes = self._pair(R_EAR, L_EAR), self._pair(R_EYE, L_EYE)
        sizes = [0.36 * t]
        if ears:
            sizes.append(length(p[R_EAR] - p[L_EAR]) / 0.63)
        if eyes:
            sizes.append(length(p[R_EYE] - p[L_EYE]) / 0.28)
        if ok[NOSE]:
            sizes += [length(p[NOSE] - p[e]) / 0.52 for e in (R_EAR, L_EAR) if ok[e]]
        known = [j for j in HEAD if ok[j]]
        if known:
            sizes.append(length(p[known].mean(axis=0) - p[NECK]) / 1.0)
        self.head = min(max(sizes), 0.95 * t)
        if ears:
            centre = (p[R_EAR] + p[L_EAR]) / 2
        elif known:
            centre = p[known].mean(axis=0)
            ear = next((e for e in (R_EAR, L_EAR) if ok[e]), None)
            if ear is not None and ok[NOSE]:
                centre = p[ear] + 0.36 * (p[NOSE] - p[ear])
        else:
            centre = p[NECK] - self.down * 0.8 * self.head
        pair = (R_EAR, L_EAR) if ears else (R_EYE, L_EYE)
        across = p[pair[1]] - p[pair[0]] if ears or eyes else np.zeros(2)
        if length(across) > 0.22 * self.head:
            if np.dot(across, self.right) < 0:
                across = -across
            self.head_right = unit(across)
            self.head_down = np.array([-self.head_right[1], self.head_right[0]])
        else:
            self.head_down = unit(unit(p[NECK] - centre) + 1.0 * self.down)
            self.head_right = np.array([self.head_down[1], -self.head_down[0]])
        front = [j for j in (NOSE, R_EYE, L_EYE) if ok[j]]
        self.face = bool(front) and not self.back
        if self.face:
            ahead = float(np.dot(p[front].mean(axis=0) - centre, self.head_right))
            self.turn = float(np.clip(ahead / (0.34 * self.head), -1, 1))
            eye = [j for j in (R_EYE, L_EYE) if ok[j]] or [NOSE]
            low = float(np.dot(p[eye].mean(axis=0) - centre, self.head_down)) / self.head
            self.nod = float(np.clip(low - (0.0 if eye != [NOSE] else 0.13), -0.25, 0.25))
        self.centre = centre
