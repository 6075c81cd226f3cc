"""What must hold of each row of a manifest by itself."""

from __future__ import annotations

import hashlib
import io
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from PIL import Image

from pipeline import ids
from pipeline.imaging.phash import phash
from pipeline.imaging.skeleton import draw_pose
from pipeline.manifest.schema import OPTIONAL, PICTURES
from pipeline.manifest.validate.rules import Rules

_SHARES = ("pose_score", "mask_score", "mask_area", "subject_kept")
_COSINES = ("clip_t_subject", "clip_t_background")
SLACK = 1e-5
"""What float32 may take from a score."""
_OTHER_POSE = 0.05
"""Share of a drawn pose's brightness by which its control image may differ: far-off places round differently."""
_HEX16 = re.compile(r"[0-9a-f]{16}")
_MODES = {"image": ("RGB",), "mask": ("L", "1"), "control": ("RGB",)}
Found = Iterator[tuple[str, str]]
"""Column and message of each fault."""


def check_row(row: Mapping[str, Any], rules: Rules) -> Found:
    """All faults of one row; columns that the row lacks are passed over (the schema's check names them)."""
    for name, value in row.items():
        if value is None and name not in OPTIONAL:
            yield name, "is empty"
    here = {name: value for name, value in row.items() if value is not None}
    yield from _ids(here, rules)
    yield from _pictures(here, rules)
    if "keypoints" in here:
        yield from _keypoints(here["keypoints"])
    yield from _numbers(here)
    yield from _scores(here, rules)
    for name in ("prompt", "subject_prompt", "background_prompt"):
        if name in here and not here[name].strip():
            yield name, "is empty"


def _ids(row: Mapping[str, Any], rules: Rules) -> Found:
    factors = [row.get(name) for name in ("source_id", "subject_id", "background_id")]
    if "variation_id" in row and all(factors) and row["variation_id"] != ids.variation_id(*map(str, factors)):
        yield "variation_id", "is not that of its source, subject and background"
    if "source_id" in row and not _HEX16.fullmatch(row["source_id"]):
        yield "source_id", f"is not 16 hex digits: {row['source_id'][:40]!r}"
    whole_pose = {"pose_id", "source_id", "keypoints"} <= row.keys() and not _bad_keypoints(row["keypoints"])
    if whole_pose and row["pose_id"] != ids.pose_id(row["source_id"], row["keypoints"]):
        yield "pose_id", "is not that of its source and keypoints"
    if "split" in row:
        if row["split"] not in ids.SPLITS:
            yield "split", f"is none of {', '.join(ids.SPLITS)}: {row['split'][:40]!r}"
        elif rules.splits and rules.seed is not None and "source_id" in row:
            due = ids.split_of(row["source_id"], rules.seed, rules.splits)
            if row["split"] != due:
                yield "split", f"is {row['split']}, but the source and the run's seed say {due}"


def _pictures(row: Mapping[str, Any], rules: Rules) -> Found:
    due = (row["width"], row["height"]) if {"width", "height"} <= row.keys() else None
    for name in PICTURES:
        data = (row.get(name) or {}).get("bytes")
        if name not in row:
            continue
        if not data:
            yield name, "has no bytes"
            continue
        if name == "image" and "sha256" in row and row["sha256"] != hashlib.sha256(data).hexdigest():
            yield "sha256", "is not that of the image"
        try:
            with Image.open(io.BytesIO(data)) as picture:
                picture.load()
        except Exception as error:  # decoders raise nearly anything on broken bytes
            yield name, f"cannot be decoded ({type(error).__name__})"
            continue
        if due and picture.size != due:
            yield name, f"is {picture.width}x{picture.height}, not {due[0]}x{due[1]} as width and height say"
        if picture.mode not in _MODES[name]:
            yield name, f"has mode {picture.mode}, not {' or '.join(_MODES[name])}"
        elif name == "mask" and not set(np.unique(np.asarray(picture.convert("L")))) <= {0, 255}:
            yield name, "has other values than 0 and 255"
        elif name == "mask" and "mask_area" in row:
            area = float((np.asarray(picture.convert("L")) > 0).mean())
            if not abs(area - row["mask_area"]) <= SLACK:
                yield name, f"covers {area:.6f} of the image, mask_area says {row['mask_area']:.6f}"
        elif name == "control" and not _as_keypoints_say(picture, row.get("keypoints") or [], rules):
            yield name, "shows another pose than keypoints"
        if name == "image" and "phash" in row and row["phash"] != phash(picture):
            yield "phash", "is not that of the image"


def _as_keypoints_say(control: Image.Image, points: Any, rules: Rules) -> bool:
    """Also where there is nothing to tell it by."""
    if rules.line_width is None or _bad_keypoints(points):
        return True
    return shows_pose(np.asarray(control), np.asarray(points), rules.line_width)


def shows_pose(control: np.ndarray, keypoints: np.ndarray, line_width: float) -> bool:
    """Whether a control image ``[size, size, 3]`` is of these keypoints ``[18, 3]``."""
    if control.shape[0] != control.shape[1] or not np.isfinite(keypoints).all():
        return False
    due = np.asarray(draw_pose(keypoints, control.shape[0], line_width)).astype(int)
    return bool(np.abs(control - due).sum() <= _OTHER_POSE * due.sum())


def _bad_keypoints(points: Any) -> bool:
    return len(points) != 18 or any(point is None or len(point) != 3 or None in point for point in points)


def _keypoints(points: Any) -> Found:
    if _bad_keypoints(points):
        yield "keypoints", "are not 18 of 3 numbers"
        return
    for number, (x, y, confidence) in enumerate(points):
        if not 0 <= confidence <= 1:
            yield "keypoints", f"joint {number}: confidence {confidence} is not in 0..1"
        elif confidence == 0 and (x, y) != (0, 0):
            yield "keypoints", f"joint {number}: is missing (confidence 0) but not at (0, 0)"
        elif not (0 <= x <= 1 and 0 <= y <= 1):
            yield "keypoints", f"joint {number}: ({x}, {y}) is not in 0..1"


def _numbers(row: Mapping[str, Any]) -> Found:
    for name in (*_SHARES, *_COSINES):
        low = -1 if name in _COSINES else 0
        if name in row and not (math.isfinite(row[name]) and low - SLACK <= row[name] <= 1 + SLACK):
            yield name, f"{row[name]} is not in {low}..1"
    for name in ("subject_seed", "background_seed", "attempt"):
        if name in row and row[name] < 0:
            yield name, f"{row[name]} is negative"
    for name in ("phash", "source_phash"):
        if name in row and not _HEX16.fullmatch(row[name]):
            yield name, f"is not 16 hex digits: {row[name][:40]!r}"


def _scores(row: Mapping[str, Any], rules: Rules) -> Found:
    for name, (low, high) in rules.limits.items():
        if name in row and low is not None and row[name] < low - SLACK:
            yield name, f"{row[name]:.6f} is below the profile's own threshold {low:g}"
        if name in row and high is not None and row[name] > high + SLACK:
            yield name, f"{row[name]:.6f} is above the profile's own threshold {high:g}"
