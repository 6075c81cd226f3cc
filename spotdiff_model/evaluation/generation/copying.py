"""copy_geo, three ways: is a generated picture nearer to what was asked for, or to its reference?

After WithAnyone / MultiID-Bench (arXiv 2510.14975): ``(angle(out, truth) - angle(out, reference)) / angle(truth,
reference)``. -1: the truth itself; 0: as near to one as to the other; +1: the reference itself. The dataset holds the
true picture of many cells (subject, pose, background), so it can be told for each factor by itself, each in the space
that shows that factor: the subject cut out, the keypoints, the picture with the person greyed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from spotdiff_model.evaluation.generation.observe import Seen
from spotdiff_model.evaluation.generation.requests import Request

GREY = 127
"""What stands outside of what is compared."""
WAYS = ("identity", "pose", "background")
_LEAST_ANGLE = 0.02
"""Radians between truth and reference, below which there is nothing to tell apart."""
_JOINTS = 4
"""Joints that all three poses must show."""


def copy_geo(out: np.ndarray, truth: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """``[N]`` of unit vectors ``[N, D]``; NaN where truth and reference are the same."""
    apart = _angles(truth, reference)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = (_angles(out, truth) - _angles(out, reference)) / apart
    return np.where(apart > _LEAST_ANGLE, found, np.nan)


def copied(
    requests: Sequence[Request],
    pictures: Sequence[Image.Image],
    seen: Sequence[Seen],
    embed: Callable[[Sequence[Image.Image]], np.ndarray],
) -> dict[str, np.ndarray]:
    """copy_geo of each picture by factor, ``copy_geo_WAY``; NaN where the truth is not known.

    Args:
        requests: What was asked for.
        pictures: What came.
        seen: Pose and mask of the person in each; where nobody is found, identity and pose are not told.
        embed: Pictures to unit vectors.
    """
    rows = {f"copy_geo_{way}": np.full(len(requests), np.nan) for way in WAYS}
    known = [at for at, request in enumerate(requests) if request.truth is not None]
    if known:
        out = [(pictures[at], seen[at].mask) for at in known]
        truth = [_true(requests[at]) for at in known]
        reference = [(requests[at].reference, requests[at].reference_mask) for at in known]
        for way, inside in (("identity", True), ("background", False)):
            vectors = [embed([greyed(*each, inside=inside) for each in side]) for side in (out, truth, reference)]
            rows[f"copy_geo_{way}"][known] = copy_geo(*vectors)
        nobody = [at for at in known if seen[at].pose is None]
        rows["copy_geo_identity"][nobody] = np.nan
    for at, (request, look) in enumerate(zip(requests, seen, strict=True)):
        if request.pose is not None and look.pose is not None:
            rows["copy_geo_pose"][at] = _pose_copied(look.pose, request.pose, request.reference_pose)
    return rows


def greyed(image: Image.Image, mask: np.ndarray, *, inside: bool = True) -> Image.Image:
    """The picture with all but the person greyed (``inside``), or with the person greyed."""
    keep = mask if inside else ~mask
    return Image.fromarray(np.where(keep[..., None], np.asarray(image), GREY).astype(np.uint8))


def _true(request: Request) -> tuple[Image.Image, np.ndarray]:
    assert request.truth is not None and request.truth_mask is not None
    return request.truth, request.truth_mask


def _pose_copied(out: np.ndarray, asked: np.ndarray, reference: np.ndarray) -> float:
    """Of keypoints ``[18, 3]``, without regard to place and size; NaN where too few joints are in all three."""
    shown = (out[:, 2] > 0) & (asked[:, 2] > 0) & (reference[:, 2] > 0)
    if shown.sum() < _JOINTS:
        return float("nan")
    shapes = [pose[shown, :2] - pose[shown, :2].mean(axis=0) for pose in (out, asked, reference)]
    vectors = [shape.reshape(1, -1) / max(float(np.linalg.norm(shape)), 1e-9) for shape in shapes]
    return float(copy_geo(*vectors)[0])


def _angles(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Radians; from chords, which are exact for small angles, where arccos is not."""
    chord = np.linalg.norm(np.asarray(a, np.float64) - np.asarray(b, np.float64), axis=1)
    angles: np.ndarray = 2 * np.arcsin(np.clip(chord / 2, 0, 1))
    return angles
