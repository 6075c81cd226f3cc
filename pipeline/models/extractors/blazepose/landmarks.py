"""BlazePose's 33 landmarks as OpenPose's 18 keypoints."""

from __future__ import annotations

import numpy as np

from pipeline.imaging import openpose18
from pipeline.imaging.openpose18 import L_SHOULDER, NECK, R_SHOULDER

COUNT, VALUES = 39, 5
"""The network's landmarks, six auxiliary ones included, and what it says of each: x, y, z, visibility, presence."""
_LANDMARKS = {
    "nose": 0, "left_eye": 2, "right_eye": 5, "left_ear": 7, "right_ear": 8,
    "left_shoulder": 11, "right_shoulder": 12, "left_elbow": 13, "right_elbow": 14, "left_wrist": 15, "right_wrist": 16,
    "left_hip": 23, "right_hip": 24, "left_knee": 25, "right_knee": 26, "left_ankle": 27, "right_ankle": 28,
}  # fmt: skip
"""By OpenPose's name of a keypoint, the number of the landmark that it is; the neck is none of them."""
_ORDER = np.array([_LANDMARKS.get(name, _LANDMARKS["nose"]) for name in openpose18.NAMES])


def openpose_from_landmarks(raw: np.ndarray, side: int) -> np.ndarray:
    """OpenPose's keypoints.

    Args:
        raw: The network's answer, 39 x (x, y, z in pixels of the cut-out, visibility and presence as logits).
        side: Of the cut-out, pixels.

    Returns:
        ``[18, 3]``: x, y in 0..1 of the cut-out, and how sure the network is that the joint lies in it. A hidden
        joint has a place, too. The neck lies midway between the shoulders, as sure as the less sure of them.
    """
    landmarks = raw.reshape(COUNT, VALUES).astype(np.float64)[_ORDER]
    pose = np.column_stack([landmarks[:, :2] / side, 1 / (1 + np.exp(-landmarks[:, 4]))])
    left, right = pose[L_SHOULDER], pose[R_SHOULDER]
    pose[NECK] = *(left[:2] + right[:2]) / 2, min(left[2], right[2])
    return pose
