"""What an encoder must show, held against what it was measured to show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from spotdiff_model.judgement.contenders import FULL_CLIP, LEACE, RAW, TOLD
from spotdiff_model.judgement.scoring import Scores

R1 = "retrieval/subject/hard/recall_at_1"
POSE = "leakage/linear/subject/pose"
BACKGROUND = "leakage/linear/subject/background"
SUBJECT = "leakage/linear/subject/subject"
ATTRIBUTES = "attributes/mean"
KEYPOINTS = "keypoints_within_0.05"
KEPT = "generation/new_background/attributes_kept"
POSE_COPY = "generation/new_pose/pose_copy_rate"
POSE_COPY_CHANCE = "generation/new_pose/pose_copy_chance"


@dataclass(frozen=True)
class Requirement:
    """One line of the verdict.

    Attributes:
        measured: None where the split, or the effort asked for, could not tell.
        must, aim: What has to be reached, in words with the numbers that it follows from.
        met: Whether ``must`` is; None where it cannot be told.
        reached: Whether ``aim`` is, too.
    """

    what: str
    measured: float | None
    must: str
    aim: str
    met: bool | None
    reached: bool | None

    @property
    def outcome(self) -> str:
        """In words. An aim may be reached where ``must`` cannot be told: it may be a bound of its own."""
        if self.met is False:
            return "missed"
        if self.reached:
            return "aim reached"
        return "not told" if self.met is None else "met"


def verdict(ours: Scores, others: Mapping[str, Scores]) -> list[Requirement]:
    """The requirements, in order.

    Args:
        ours: The encoder's.
        others: Of the rivals by name; the ablation ``reference-same`` too where it was trained.
    """
    return [
        _retrieval(ours, others),
        _pose(ours, others),
        _background(ours, others),
        _at_least_raw("subject told from f_s (poses and backgrounds held out)", SUBJECT, ours, others),
        _at_least_raw("subject attributes told from f_s (subjects held out)", ATTRIBUTES, ours, others),
        _threshold("f_p: share of keypoints within 0.05", KEYPOINTS, ours, 0.8, 0.95),
        _kept(ours, others),
        _pose_copy(ours, others),
    ]


def _retrieval(ours: Scores, others: Mapping[str, Scores]) -> Requirement:
    value, raw, leace = ours.mean(R1), _best(others, R1), _of(others, LEACE, R1)
    bound = None if raw is None or leace is None else max(1.5 * raw, leace)
    must = "-" if bound is None else f"at least 1.5 x raw CLIP's {raw:.3f} and above LEACE's {leace:.3f}"
    met = None if value is None or bound is None else value >= bound and value > (leace or 0)
    return Requirement("same-subject R@1, hard gallery, f_s", value, must, "0.95", met, _reached(value, 0.95))


def _pose(ours: Scores, others: Mapping[str, Scores]) -> Requirement:
    value, raw = ours.mean(POSE), _of(others, FULL_CLIP, POSE)
    must = "-" if raw is None else f"at most a quarter of raw CLIP's {raw:.3f} (all its tokens)"
    met = None if value is None or raw is None else value <= max(raw, 0) / 4
    return Requirement(
        "pose readable from f_s (R2, linear probe)", value, must, "0.05", met, None if value is None else value <= 0.05
    )


def _background(ours: Scores, others: Mapping[str, Scores]) -> Requirement:
    value = _above_chance(ours, BACKGROUND)
    found = [above for name in RAW if name in others and (above := _above_chance(others[name], BACKGROUND)) is not None]
    raw = min(found) if found else None  # the stricter of the two
    must = "-" if raw is None else f"at most a quarter of raw CLIP's {raw:.3f}"
    met = None if value is None or raw is None else value <= raw / 4
    reached = None if value is None else value <= 0.02
    return Requirement("background accuracy from f_s, above chance", value, must, "0.02", met, reached)


def _at_least_raw(what: str, metric: str, ours: Scores, others: Mapping[str, Scores]) -> Requirement:
    value, raw = ours.mean(metric), _best(others, metric)
    if raw is None:
        return Requirement(what, value, "-", "-", None, None)
    met, reached = (None, None) if value is None else (value >= raw, value >= raw + 0.05)
    return Requirement(what, value, f"at least raw CLIP's {raw:.3f}", f"{raw + 0.05:.3f}", met, reached)


def _threshold(what: str, metric: str, ours: Scores, must: float, aim: float) -> Requirement:
    value = ours.mean(metric)
    return Requirement(what, value, f"{must:g}", f"{aim:g}", _reached(value, must), _reached(value, aim))


def _kept(ours: Scores, others: Mapping[str, Scores]) -> Requirement:
    line = _threshold("identity attributes kept on a new background", KEPT, ours, 0.7, 0.9)
    told = _of(others, TOLD, KEPT)
    return line if told is None else replace(line, must=f"{line.must} (the generator told in words: {told:.3f})")


def _pose_copy(ours: Scores, others: Mapping[str, Scores]) -> Requirement:
    value, chance = ours.mean(POSE_COPY), ours.mean(POSE_COPY_CHANCE)
    copying = _of(others, "reference-same", POSE_COPY)
    must = "below that of training with reference = target"
    neither = value == copying == 0  # nothing is below 0: no comparison
    must += " (not measured)" if copying is None else f": {copying:.3f}" + (" (neither copies)" if neither else "")
    return Requirement(
        "pose-copy rate when another pose is asked",
        value,
        must,
        "chance" if chance is None else f"chance: {chance:.3f}",
        None if value is None or copying is None or neither else value < copying,
        None if value is None or chance is None else value <= chance,
    )


def _best(others: Mapping[str, Scores], metric: str) -> float | None:
    """The better of the raw CLIPs."""
    values = [value for name in RAW if (value := _of(others, name, metric)) is not None]
    return max(values) if values else None


def _of(others: Mapping[str, Scores], name: str, metric: str) -> float | None:
    return others[name].mean(metric) if name in others else None


def _above_chance(scores: Scores, metric: str) -> float | None:
    value, chance = scores.mean(metric), scores.mean(metric.replace("leakage/", "chance/", 1))
    return None if value is None or chance is None else max(0.0, value - chance)


def _reached(value: float | None, bound: float) -> bool | None:
    return None if value is None else value >= bound
