"""Heads: face, hair and hats, in a frame that turns and tilts with the head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.imaging.openpose18 import L_EAR, L_EYE, NOSE, R_EAR, R_EYE

from .brush import CIRCLE, Brush
from .palette import RGB, darker, mix
from .skeleton import Skeleton

Points = NDArray[np.float64]


@dataclass
class Head:
    """Draws the head of ``s``; coordinates are heads (right, down) from its middle."""

    brush: Brush
    s: Skeleton
    skin: RGB
    hair: RGB | None
    long: bool
    hat: str
    hat_color: RGB | None

    def at(self, xy: Points) -> Points:
        """Head coordinates [n, 2] to pixels."""
        frame = np.stack([self.s.head_right, self.s.head_down]) * self.s.head
        return np.asarray(self.s.centre + xy @ frame)

    def oval(self, x: float, y: float, rx: float, ry: float) -> Points:
        """Points of an upright ellipse, in pixels."""
        return self.at(CIRCLE * [rx, ry] + [x, y])

    def dome(self, x: float, base: float, rx: float, top: float) -> Points:
        """Points of the upper half of an ellipse that stands on ``base``, in pixels."""
        upper = CIRCLE[CIRCLE[:, 1] < 1e-9]
        return self.at(upper * [rx, base - top] + [x, base])

    @property
    def lift(self) -> float:
        """How far hats and fringes move up to leave the eyes free, in heads."""
        return min(0.0, self.s.nod + 0.03) if self.s.face else 0.0

    def behind(self) -> None:
        """Long hair that falls behind the shoulders."""
        if self.hair is not None and self.long:
            self._mane()

    def _mane(self) -> None:
        x = -0.12 * self.s.turn
        outline = np.array([
            (-0.30, -0.42), (0.30, -0.42), (0.48, -0.1), (0.56, 0.45), (0.54, 0.92),
            (0.3, 1.0), (-0.3, 1.0), (-0.54, 0.92), (-0.56, 0.45), (-0.48, -0.1),
        ])  # fmt: skip
        assert self.hair is not None
        self.brush.polygon(self.at(outline + np.array([x, 0.0])), self.hair)

    def draw(self) -> None:
        """Neck excepted, everything from the skull to the hat."""
        s, b, turn = self.s, self.brush, self.s.turn
        if self.hair is None or s.face:
            for ear in (R_EAR, L_EAR):
                if s.ok[ear] and not (self.long and self.hair is not None):
                    b.disc(s.p[ear], 0.08 * s.head, self.skin)
        if self.hair is None:
            b.polygon(self.oval(0, 0, 0.38, 0.5), self.skin)
        elif not s.face:
            b.polygon(self.oval(0, -0.02, 0.42, 0.52), self.hair)
            if self.long:
                self._mane()
        else:
            b.polygon(self.oval(-0.05 * turn, -0.05, 0.43, 0.5), self.hair)
            b.polygon(self.oval(0.08 * turn, 0.06, 0.36 - 0.04 * abs(turn), 0.45), self.skin, False)
            fringe = self.dome(0.02 * turn, -0.17 + self.lift, 0.41, -0.54)
            b.polygon(fringe, self.hair, False)
            if self.long:
                for side in (-1, 1):
                    x = side * 0.4 - 0.1 * turn
                    b.polygon(self.oval(x, 0.22, 0.085, 0.42), self.hair, False)
        if s.face:
            self._face()
        if self.hat != "none":
            self._hat()

    def _face(self) -> None:
        s, b = self.s, self.brush
        white, dark = (250, 250, 250), (24, 20, 24)
        for eye in (R_EYE, L_EYE):
            if s.ok[eye]:
                b.disc(s.p[eye], max(0.082 * s.head, 0.75 * b.px), white, False)
        for eye in (R_EYE, L_EYE):
            if s.ok[eye]:
                ahead = s.p[eye] + s.head_right * 0.02 * s.turn * s.head
                b.disc(ahead, max(0.056 * s.head, 0.55 * b.px), dark, False)
        if s.ok[NOSE]:
            b.disc(
                s.p[NOSE],
                max(0.045 * s.head, 0.4 * b.px),
                mix(self.skin, (120, 30, 10), 0.35),
                False,
            )
        x, y = 0.2 * s.turn, 0.3 + 0.7 * s.nod
        mouth = self.at(np.array([(x - 0.12, y - 0.015), (x, y + 0.02), (x + 0.12, y - 0.015)]))
        width = max(round(0.06 * s.head), round(0.6 * b.px))
        b.draw.line(mouth.ravel().tolist(), fill=(168, 36, 44), width=width, joint="curve")

    def _hat(self) -> None:
        assert self.hat_color is not None
        b, c, turn, up = self.brush, self.hat_color, self.s.turn, self.lift
        low = np.array([0.0, up])
        if self.hat == "hat":
            crown = np.array([(-0.36, -0.2), (-0.32, -0.74), (0.32, -0.74), (0.36, -0.2)])
            b.polygon(self.at(crown + low), c)
            band = np.array([(-0.37, -0.24), (-0.35, -0.38), (0.35, -0.38), (0.37, -0.24)])
            b.polygon(self.at(band + low), darker(c, 0.5), False)
            b.polygon(self.oval(0, -0.22 + up, 0.74, 0.09), c)
        elif self.hat == "beanie":
            b.disc(
                self.at(np.array([(0.0, -0.78 + up)]))[0],
                0.13 * self.s.head,
                mix(c, (255, 255, 255), 0.45),
            )
            b.polygon(self.dome(0, -0.2 + up, 0.44, -0.72 + up), c)
            band = np.array([(-0.46, -0.17), (-0.46, -0.34), (0.46, -0.34), (0.46, -0.17)])
            b.polygon(self.at(band + low), mix(c, (255, 255, 255), 0.45))
        else:
            b.polygon(self.dome(0, -0.2 + up, 0.44, -0.62 + up), c)
            if self.s.face:
                shade = mix(c, (0, 0, 0), 0.28)
                b.polygon(self.oval(0.34 * turn, -0.21 + up, 0.4 + 0.08 * abs(turn), 0.09), shade)
