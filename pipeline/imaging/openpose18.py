"""OpenPose's 18 keypoints: names, numbers, limbs, mirror table, what each hangs on, COCO's order and tolerances.

"Right" is the person's right. Everything that speaks of a keypoint by number takes the number from here.
"""

from __future__ import annotations

import numpy as np

NAMES = (
    "nose", "neck",
    "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
    "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle",
    "right_eye", "left_eye", "right_ear", "left_ear",
)  # fmt: skip
KEYPOINTS = len(NAMES)
(
    NOSE, NECK,
    R_SHOULDER, R_ELBOW, R_WRIST, L_SHOULDER, L_ELBOW, L_WRIST,
    R_HIP, R_KNEE, R_ANKLE, L_HIP, L_KNEE, L_ANKLE,
    R_EYE, L_EYE, R_EAR, L_EAR,
) = range(KEYPOINTS)  # fmt: skip
HEAD = (NOSE, R_EYE, L_EYE, R_EAR, L_EAR)

MIRRORED = (
    NOSE, NECK,
    L_SHOULDER, L_ELBOW, L_WRIST, R_SHOULDER, R_ELBOW, R_WRIST,
    L_HIP, L_KNEE, L_ANKLE, R_HIP, R_KNEE, R_ANKLE,
    L_EYE, R_EYE, L_EAR, R_EAR,
)  # fmt: skip
"""Which keypoint each one becomes in a mirror."""

PARENTS = {
    NOSE: NECK,
    R_SHOULDER: NECK,
    R_ELBOW: R_SHOULDER,
    R_WRIST: R_ELBOW,
    L_SHOULDER: NECK,
    L_ELBOW: L_SHOULDER,
    L_WRIST: L_ELBOW,
    R_HIP: NECK,
    R_KNEE: R_HIP,
    R_ANKLE: R_KNEE,
    L_HIP: NECK,
    L_KNEE: L_HIP,
    L_ANKLE: L_KNEE,
    R_EYE: NOSE,
    L_EYE: NOSE,
    R_EAR: R_EYE,
    L_EAR: L_EYE,
}
"""By keypoint the one that it hangs on; that one comes before it."""

LIMBS = (
    (NECK, R_SHOULDER), (NECK, L_SHOULDER), (R_SHOULDER, R_ELBOW), (R_ELBOW, R_WRIST), (L_SHOULDER, L_ELBOW),
    (L_ELBOW, L_WRIST), (NECK, R_HIP), (R_HIP, R_KNEE), (R_KNEE, R_ANKLE), (NECK, L_HIP), (L_HIP, L_KNEE),
    (L_KNEE, L_ANKLE), (NECK, NOSE), (NOSE, R_EYE), (R_EYE, R_EAR), (NOSE, L_EYE), (L_EYE, L_EAR),
)  # fmt: skip
"""In the order in which OpenPose draws them."""

COCO_NAMES = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear",
    "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
    "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip
"""COCO's 17 keypoints, in COCO's order."""
COCO_FROM_OPENPOSE = tuple(NAMES.index(name) for name in COCO_NAMES)
"""For each COCO keypoint the OpenPose keypoint that it is."""
OPENPOSE_FROM_COCO = np.array([COCO_NAMES.index(name) if name in COCO_NAMES else -1 for name in NAMES])
"""For each OpenPose keypoint the COCO keypoint that it is; -1 for the neck, which is made of the shoulders."""
COCO_SKELETON = (
    (16, 14), (14, 12), (17, 15), (15, 13), (12, 13), (6, 12), (7, 13), (6, 7), (6, 8),
    (7, 9), (8, 10), (9, 11), (2, 3), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7),
)  # fmt: skip
"""The limbs as COCO's person category lists them: pairs of COCO keypoints, counted from 1."""

_COCO_SIGMAS = np.array(
    [
        0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107,
        0.087, 0.087, 0.089, 0.089,
    ]
)  # fmt: skip
SIGMAS = np.where(OPENPOSE_FROM_COCO < 0, 0.079, _COCO_SIGMAS[OPENPOSE_FROM_COCO])
"""COCO's constants for how far annotators disagree, in OpenPose's order; the neck has the shoulders'."""
