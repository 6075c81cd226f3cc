"""What is judged: the three features of features that an encoder gives of each picture."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

FACTORS = ("subject", "pose", "background")
"""The factors, and the features that are to hold one of them each."""


@dataclass(frozen=True, eq=False)
class Features:
    """Features of N pictures, aligned with their :class:`~spotdiff_model.evaluation.probes.factors.FactorLabels`.

    Baselines that do not split theirs have only a ``subject`` feature.

    Attributes:
        subject: ``[N, Ds]``: f_s.
        pose: ``[N, Dp]``: f_p, or None.
        background: ``[N, Db]``: f_b, or None.
        keypoints: ``[N, 18, 3]`` as the pose expert predicts them (x, y in 0..1 of the side), or None.
    """

    subject: np.ndarray
    pose: np.ndarray | None = None
    background: np.ndarray | None = None
    keypoints: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.subject)

    def named(self) -> dict[str, np.ndarray]:
        """The features that are there, by the factor that each is to hold, as float64."""
        found = {"subject": self.subject, "pose": self.pose, "background": self.background}
        return {name: np.asarray(feature, np.float64) for name, feature in found.items() if feature is not None}

    def __getitem__(self, rows: np.ndarray) -> Features:
        """The features of some of the pictures (indices or booleans)."""
        there = {name: value[rows] for name, value in vars(self).items() if value is not None}
        return replace(self, **there)
