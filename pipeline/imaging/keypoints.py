"""Poses as data: from COCO's 17 keypoints to OpenPose's 18, comparing them, choosing a person.

A pose is an array ``[18, 3]``: x, y in 0..1 of the square picture and a confidence; missing keypoints are (0, 0, 0).
"""

from __future__ import annotations

import numpy as np

from pipeline.config import PoseSettings
from pipeline.imaging.frame import to_square
from pipeline.imaging.openpose18 import L_SHOULDER, NECK, OPENPOSE_FROM_COCO, R_SHOULDER, SIGMAS
from pipeline.records import Reason


def openpose_from_coco(points: np.ndarray) -> np.ndarray:
    """OpenPose-18 from COCO-17 keypoints.

    Args:
        points: ``[17, 3]`` x, y, and COCO's visibility (0 not labelled, 1 hidden, 2 visible) or a score (0..1).

    Returns:
        ``[18, 3]`` in the same units; confidence 1 for labelled joints, hidden ones too (their place is known), or the
        score. The neck lies midway between the shoulders, as sure as the less sure one, and is there if both are.
    """
    sure = points[:, 2].clip(0.0, 1.0)
    coco = np.where(sure[:, None] > 0, np.column_stack([points[:, :2], sure]), 0.0)
    pose = coco[OPENPOSE_FROM_COCO]
    left, right = pose[L_SHOULDER], pose[R_SHOULDER]
    pose[NECK] = [*(left + right)[:2] / 2, min(left[2], right[2])] if left[2] and right[2] else 0.0
    return pose


def oks(asked: np.ndarray, found: np.ndarray) -> float:
    """Object keypoint similarity of two poses, 0..1.

    Counted over the visible keypoints of ``asked``; one that is missing in ``found`` counts as 0. The object's
    scale is the box around the asked keypoints, at least half as wide as long so that a pose seen from the side, all
    in a line, has a scale too.

    Args:
        asked: ``[18, 3]``.
        found: ``[18, 3]``, in the same units.
    """
    visible = asked[:, 2] > 0
    if not visible.any():
        return 0.0
    sides = np.sort(np.ptp(asked[visible, :2], axis=0))
    area = sides[1] * max(sides[0], sides[1] / 2)
    squared = ((asked[visible, :2] - found[visible, :2]) ** 2).sum(axis=1)
    similarity = np.exp(-squared / (2 * np.maximum(area, 1e-9) * (2 * SIGMAS[visible]) ** 2))
    return float((similarity * (found[visible, 2] > 0)).mean())


def in_frame(points: np.ndarray, frame: list[float]) -> np.ndarray:
    """Keypoints of the original picture (pixels) as keypoints of its square; those outside the square are missing.

    Args:
        points: ``[N, 3]``.
        frame: ``[x0, y0, side]`` of the square, in the original's pixels.
    """
    moved = np.array(points, np.float64)
    moved[:, :2] = to_square(moved.tolist(), frame)
    outside = (moved[:, 2] <= 0) | ((moved[:, :2] < 0) | (moved[:, :2] > 1)).any(axis=1)
    moved[outside] = 0.0
    return moved


def box_of(pose: np.ndarray) -> np.ndarray:
    """``[x0, y0, x1, y1]`` around the visible keypoints (at least one must be)."""
    visible = pose[pose[:, 2] > 0, :2]
    return np.concatenate([visible.min(axis=0), visible.max(axis=0)])


def main_person(people: list[np.ndarray], settings: PoseSettings) -> np.ndarray | Reason:
    """The pose of the one person that a picture is about, or why there is none.

    The largest person counts as the main one if no other's box has nearly the same area. Keypoints below the
    confidence threshold are dropped first.
    """
    sure = [np.where(pose[:, 2:] >= settings.min_confidence, pose, 0.0) for pose in people]
    ranked = sorted((pose for pose in sure if pose[:, 2].any()), key=_box_area, reverse=True)
    if not ranked:
        return Reason.NO_PERSON
    if len(ranked) > 1 and _box_area(ranked[0]) < settings.main_person_ratio * _box_area(ranked[1]):
        return Reason.SEVERAL_PEOPLE
    if np.count_nonzero(ranked[0][:, 2]) < settings.min_keypoints:
        return Reason.TOO_FEW_KEYPOINTS
    return ranked[0]


def _box_area(pose: np.ndarray) -> float:
    box = box_of(pose)
    return float((box[2] - box[0]) * (box[3] - box[1]))
