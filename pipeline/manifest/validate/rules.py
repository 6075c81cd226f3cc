"""What a footer says that rows can be held against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from pipeline.config import SourceSettings, Splits

LIMITS = {
    "pose_score": ("min_pose_score", None),
    "mask_score": ("min_mask_score", None),
    "mask_area": ("min_mask_area", "max_mask_area"),
    "clip_t_subject": ("min_clip_t_subject", None),
    "clip_t_background": ("min_clip_t_background", None),
    "subject_kept": ("min_subject_kept", None),
}
"""The profile's lower and upper threshold of each score."""


@dataclass(frozen=True)
class Rules:
    """None, or nothing, where the footer does not say it.

    Attributes:
        seed, subjects, backgrounds: What the build was told.
        splits: Shares of the sources.
        distance: Bits up to which two sources are near-duplicates.
        line_width: Of the control image.
        limits: Lowest and highest value of each score that the profile lets through.
        subset: Rows were filtered out, so that the factorial is not whole.
    """

    seed: int | None = None
    subjects: int | None = None
    backgrounds: int | None = None
    splits: Splits | None = None
    distance: int = SourceSettings(size=1).phash_distance
    line_width: float | None = None
    limits: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    subset: bool = False


def rules_of(footer: Mapping[str, Any]) -> Rules:
    """What is there to be read of a footer, whatever else is in it."""
    config, profile = _mapping(footer.get("config")), _mapping(footer.get("profile"))
    splits = None
    if "splits" in profile:
        try:
            splits = Splits.model_validate(profile["splits"])
        except ValidationError:
            splits = None
    distance = _whole(_mapping(profile.get("sources")).get("phash_distance"))
    quality = _mapping(profile.get("quality"))
    return Rules(
        seed=_whole(config.get("seed")),
        subjects=_whole(config.get("subjects")),
        backgrounds=_whole(config.get("backgrounds")),
        splits=splits,
        distance=Rules.distance if distance is None else distance,
        line_width=_number(_mapping(profile.get("poses")).get("line_width")),
        limits={
            score: (_number(quality.get(low)), _number(quality.get(high)) if high else None)
            for score, (low, high) in LIMITS.items()
        },
        subset="filtered" in footer or any("filtered" in _mapping(one) for one in _list(footer.get("merged"))),
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
