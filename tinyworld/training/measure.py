"""Measures the pose network and SAM on held-out renders, through the interfaces that the pipeline uses."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from segment_anything import SamPredictor
from segment_anything.modeling import Sam

from pipeline.imaging.openpose18 import KEYPOINTS, MIRRORED
from pipeline.tiny.pose_net import TinyBody, load_body
from pipeline.tiny.sam import build_sam
from tinyworld.training.pairs import draw_pair
from tinyworld.world import render_seed

TOLERANCE = 0.05
"""Of the image's side, within which a keypoint counts as right."""
BOX_MARGIN = 0.08
"""How far a prompt box reaches beyond the keypoints, as a share of the box's longer side."""


def score_pose(body: TinyBody, images: np.ndarray, keypoints: np.ndarray) -> dict[str, float]:
    """Scores pictures of one person each.

    Args:
        images: uint8 RGB [N, S, S, 3].
        keypoints: [N, 18, 3], the truth; a third value above 0 marks those that are to be found.

    Returns:
        keypoints_right: share of the visible keypoints that the best person has within ``TOLERANCE``.
        keypoints_false: share of the reported keypoints that are not visible or too far off.
        one_person: share of the pictures in which exactly one person was found.
    """
    found = body.find_people(images)
    best = np.stack([people[0] if len(people) else np.zeros((KEYPOINTS, 3)) for people in found])
    seen, reported = keypoints[..., 2] > 0, best[..., 2] > 0
    near = np.linalg.norm(best[..., :2] - keypoints[..., :2], axis=-1) <= TOLERANCE
    right = seen & reported & near
    return {
        "keypoints_right": float(right.sum() / seen.sum()),
        "keypoints_false": float((reported & ~right).sum() / max(1, reported.sum())),
        "one_person": float(np.mean([len(people) == 1 for people in found])),
    }


def evaluate_pose(folder: Path, seeds: Iterable[int]) -> dict[str, float]:
    """The pose network of a weights folder on the scenes of ``seeds``.

    Returns:
        :func:`score_pose`; ``false_person``: share of empty places where somebody is found; ``two_people``: share of
        pictures of two people in which two are found (200 seeds).
    """
    body = load_body(folder, MIRRORED)
    seeds = list(seeds)
    renders = [render_seed(seed) for seed in seeds]
    scores = score_pose(body, np.stack([r.image for r in renders]), np.stack([r.keypoints for r in renders]))
    empty = body.find_people(np.stack([r.background_image for r in renders]))
    pairs = body.find_people(np.stack([draw_pair(seed)[0] for seed in seeds[:200]]))
    return scores | {
        "false_person": float(np.mean([len(people) > 0 for people in empty])),
        "two_people": float(np.mean([len(people) == 2 for people in pairs])),
    }


def keypoint_box(points: np.ndarray) -> np.ndarray:
    """Box [x0, y0, x1, y1] around points [K, 2] in image sides, with ``BOX_MARGIN``, inside the picture."""
    low, high = points.min(axis=0), points.max(axis=0)
    margin = BOX_MARGIN * (high - low).max()
    return np.concatenate([low - margin, high + margin]).clip(0, 1)


def score_sam(sam: Sam, images: np.ndarray, masks: np.ndarray, keypoints: np.ndarray) -> dict[str, float]:
    """Prompts with the visible keypoints and the box around them, takes the mask of the best predicted IoU.

    Args:
        images: uint8 RGB [N, S, S, 3]. masks: bool [N, S, S], the truth. keypoints: [N, 18, 3].

    Returns:
        iou: mean over the pictures. iou_error: mean absolute difference between the predicted and the true IoU.
    """
    predictor = SamPredictor(sam)
    found = np.zeros((len(images), 2))
    for i, (image, truth, figure) in enumerate(zip(images, masks, keypoints, strict=True)):
        points = figure[figure[:, 2] > 0, :2]
        predictor.set_image(np.asarray(image))
        side = image.shape[0]
        out, scores, _ = predictor.predict(points * side, np.ones(len(points)), keypoint_box(points) * side)
        mask = np.asarray(out[scores.argmax()])
        iou = (mask & truth).sum() / (mask | truth).sum()
        found[i] = iou, abs(iou - scores.max())
    return {"iou": float(found[:, 0].mean()), "iou_error": float(found[:, 1].mean())}


def evaluate_sam(folder: Path, seeds: Iterable[int]) -> dict[str, float]:
    """The SAM of a weights folder on the scenes of ``seeds``.

    Returns:
        :func:`score_sam` of single figures; ``iou_of_two``: mean IoU of the prompted one of two figures (200 seeds).
    """
    sam = build_sam(folder)
    seeds = list(seeds)
    renders = [render_seed(seed) for seed in seeds]
    scores = score_sam(
        sam,
        np.stack([r.image for r in renders]),
        np.stack([r.mask for r in renders]),
        np.stack([r.keypoints for r in renders]),
    )
    images, masks, keypoints = (np.stack(part) for part in zip(*(draw_pair(s) for s in seeds[:200]), strict=True))
    both = score_sam(
        sam, np.repeat(images, 2, axis=0), masks.reshape(-1, *masks.shape[2:]), keypoints.reshape(-1, KEYPOINTS, 3)
    )
    return scores | {"iou_of_two": both["iou"]}
