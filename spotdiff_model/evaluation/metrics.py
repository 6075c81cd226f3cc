"""The registry of what is measured: names in metrics.json, columns of the table, acceptance criteria.

Scoring fills in values under the keys that are made here; the table and the criteria iterate over :data:`METRICS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from spotdiff_model.evaluation.untrained import FULL_CLIP, LEACE, RAW, TEXT_PROMPT

if TYPE_CHECKING:
    from spotdiff_model.evaluation.scoring import Scores

COPYING = "reference-same"
"""The ablation that is trained to reproduce its reference."""


def leakage_key(probe: str, feature: str, target: str) -> str:
    """How much of a target a probe reads from a feature."""
    return f"leakage/{probe}/{feature}/{target}"


def leakage_chance_key(probe: str, feature: str, target: str) -> str:
    """What the same probe reaches without the feature."""
    return f"chance/{probe}/{feature}/{target}"


def permuted_key(probe: str, feature: str, target: str) -> str:
    """What the same probe reads of permuted labels."""
    return f"permuted/{probe}/{feature}/{target}"


def ranking_key(measure: str) -> str:
    """A measure of how all true views of a subject rank against all impostors."""
    return f"ranking/subject/{measure}"


def strangers_key(measure: str) -> str:
    """The same where near twins are no impostors."""
    return f"strangers/subject/{measure}"


def twins_key(measure: str) -> str:
    """A measure of how a subject is told from its near twin."""
    return f"twins/subject/{measure}"


def retrieval_key(feature: str, gallery: str, measure: str) -> str:
    """A measure of the retrieval of a feature's own factor."""
    return f"retrieval/{feature}/{gallery}/{measure}"


def dependence_key(one: str, other: str, measure: str) -> str:
    """A measure of how two features depend on each other."""
    return f"dependence/{one}-{other}/{measure}"


def generation_key(part: str, measure: str) -> str:
    """A measure of the generated pictures of one part of the requests."""
    return f"generation/{part}/{measure}"


def attribute_key(attribute: str) -> str:
    """How well a subject's attribute is told."""
    return f"attributes/{attribute}"


@dataclass(frozen=True)
class Results:
    """What a bound may follow from: the evaluated encoder's scores, and by name those that it is held against."""

    ours: Scores
    others: Mapping[str, Scores]

    def of(self, name: str, key: str) -> float | None:
        """The mean of one of the others; None where it was not measured."""
        return self.others[name].mean(key) if name in self.others else None

    def raw(self, metric: Metric) -> list[float]:
        """What the raw CLIPs reach: its embedding, its tokens."""
        found = [metric.value(self.others[name]) for name in RAW if name in self.others]
        return [value for value in found if value is not None]


@dataclass(frozen=True)
class Bound:
    """What is to be reached.

    Attributes:
        text: In words, with the numbers that it follows from.
        value: None where it cannot be told.
        strict: Whether a value that equals it is no success.
    """

    text: str
    value: float | None = None
    strict: bool = False


@dataclass(frozen=True)
class Metric:
    """One number of an evaluation.

    Attributes:
        key: Its name in metrics.json.
        title: What it says of the encoder.
        column: Head of its column in the table; empty: none.
        chance: Key of what knowing nothing reaches; empty: nobody says.
        must, aim: What it has to reach and what it should reach, given the metric and all results; None: no criterion.
        better: Which way is better.
        above_chance: Whether criteria look at what is above chance only.
    """

    key: str
    title: str
    column: str = ""
    chance: str = ""
    must: Callable[[Metric, Results], Bound] | None = None
    aim: Callable[[Metric, Results], Bound] | None = None
    better: Literal["higher", "lower"] = "higher"
    above_chance: bool = False

    def value(self, scores: Scores) -> float | None:
        """The mean over the seeds that criteria look at; None where it was not measured."""
        mean = scores.mean(self.key)
        if not self.above_chance or mean is None:
            return mean
        chance = scores.mean(self.chance)
        return None if chance is None else max(0.0, mean - chance)

    def met(self, value: float | None, bound: Bound) -> bool | None:
        """Whether a value reaches a bound; None where that cannot be told."""
        if value is None or bound.value is None:
            return None
        if value == bound.value:
            return not bound.strict
        return value > bound.value if self.better == "higher" else value < bound.value


def _fixed(value: float) -> Callable[[Metric, Results], Bound]:
    return lambda metric, results: Bound(f"{value:g}", value)


def _retrieval_must(metric: Metric, results: Results) -> Bound:
    raw, leace = results.raw(metric), results.of(LEACE, metric.key)
    if not raw or leace is None:
        return Bound("-")
    best = max(raw)
    text = f"at least 1.5 x raw CLIP's {best:.3f} and above LEACE's {leace:.3f}"
    return Bound(text, max(1.5 * best, leace), strict=leace >= 1.5 * best)


def _pose_must(metric: Metric, results: Results) -> Bound:
    raw = results.of(FULL_CLIP, metric.key)
    if raw is None:
        return Bound("-")
    return Bound(f"at most a quarter of raw CLIP's {raw:.3f} (all its tokens)", max(raw, 0) / 4)


def _background_must(metric: Metric, results: Results) -> Bound:
    raw = results.raw(metric)
    # the stricter of the two
    return Bound(f"at most a quarter of raw CLIP's {min(raw):.3f}", min(raw) / 4) if raw else Bound("-")


def _at_least_raw(metric: Metric, results: Results) -> Bound:
    raw = results.raw(metric)
    return Bound(f"at least raw CLIP's {max(raw):.3f}", max(raw)) if raw else Bound("-")


def _above_raw(metric: Metric, results: Results) -> Bound:
    raw = results.raw(metric)
    return Bound(f"{max(raw) + 0.05:.3f}", max(raw) + 0.05) if raw else Bound("-")


def _kept_must(metric: Metric, results: Results) -> Bound:
    best = results.of(TEXT_PROMPT, metric.key)
    return Bound("0.7" if best is None else f"0.7 (text-prompt upper bound: {best:.3f})", 0.7)


def _pose_copy_must(metric: Metric, results: Results) -> Bound:
    text, copying = "below that of training with reference = target", results.of(COPYING, metric.key)
    if copying is None:
        return Bound(f"{text} (not measured)")
    if results.ours.mean(metric.key) == copying == 0:  # nothing is below 0: no comparison
        return Bound(f"{text}: {copying:.3f} (neither copies)")
    return Bound(f"{text}: {copying:.3f}", copying, strict=True)


def _pose_copy_aim(metric: Metric, results: Results) -> Bound:
    chance = results.ours.mean(metric.chance)
    return Bound("chance" if chance is None else f"chance: {chance:.3f}", chance)


R1 = Metric(
    retrieval_key("subject", "hard", "recall_at_1"), "same-subject R@1, hard gallery, f_s", "R@1, hard gallery",
    retrieval_key("subject", "hard", "chance"), _retrieval_must, _fixed(0.95),
)  # fmt: skip
MAP = Metric(
    retrieval_key("subject", "hard", "mean_average_precision"), "same-subject mAP, hard gallery, f_s",
    "mAP, hard gallery",
)  # fmt: skip
R1_EASY = Metric(
    retrieval_key("subject", "easy", "recall_at_1"), "same-subject R@1, easy gallery, f_s", "R@1, easy gallery",
    retrieval_key("subject", "easy", "chance"),
)  # fmt: skip
SSR = Metric(
    ranking_key("ssr"), "SSR: all true views above all impostors on the query's background, f_s", "SSR",
    ranking_key("ssr_chance"), _fixed(0.5), _fixed(0.9),
)  # fmt: skip
SSR_STRANGERS = Metric(
    strangers_key("ssr"), "SSR where near twins are no impostors, f_s", "SSR, strangers", strangers_key("ssr_chance"),
)  # fmt: skip
PAIRWISE = Metric(
    ranking_key("pairwise"), "pairwise accuracy of the same, f_s", "pairwise",
    ranking_key("pairwise_chance"), _fixed(0.995), _fixed(0.995),
)  # fmt: skip
TWINS = Metric(
    twins_key("pairwise"), "told from a near twin, who differs in one attribute (pairwise), f_s", "near twins",
    twins_key("pairwise_chance"),
)  # fmt: skip
POSE = Metric(
    leakage_key("linear", "subject", "pose"), "pose readable from f_s (R2, linear probe)", "pose R2",
    leakage_chance_key("linear", "subject", "pose"), _pose_must, _fixed(0.05), better="lower",
)  # fmt: skip
POSE_ID = Metric(
    leakage_key("linear", "subject", "pose_id"), "pose id accuracy from f_s", "pose id",
    leakage_chance_key("linear", "subject", "pose_id"), better="lower",
)  # fmt: skip
BACKGROUND = Metric(
    leakage_key("linear", "subject", "background"), "background accuracy from f_s, above chance", "background",
    leakage_chance_key("linear", "subject", "background"), _background_must, _fixed(0.02),
    better="lower", above_chance=True,
)  # fmt: skip
SUBJECT = Metric(
    leakage_key("linear", "subject", "subject"), "subject told from f_s (poses and backgrounds held out)", "subject",
    leakage_chance_key("linear", "subject", "subject"), _at_least_raw, _above_raw,
)  # fmt: skip
ATTRIBUTES = Metric(
    attribute_key("mean"), "subject attributes told from f_s (subjects held out)", "attributes of unseen subjects",
    "chance/attributes/mean", _at_least_raw, _above_raw,
)  # fmt: skip
KEYPOINTS = Metric(
    "keypoints_within_0.05", "f_p: share of keypoints within 0.05", must=_fixed(0.65), aim=_fixed(0.8)
)  # fmt: skip
KEPT = Metric(
    generation_key("new_background", "attributes_kept"), "identity attributes kept on a new background",
    "attributes kept in pictures", must=_kept_must, aim=_fixed(0.9),
)  # fmt: skip
POSE_COPY = Metric(
    generation_key("new_pose", "pose_copy_rate"), "pose-copy rate when another pose is asked", "pose copied",
    generation_key("new_pose", "pose_copy_chance"), _pose_copy_must, _pose_copy_aim, better="lower",
)  # fmt: skip

COPY_IDENTITY = Metric(
    generation_key("new_background", "copy_geo_identity"), "copy_geo, identity: nearer the reference (+) or the truth",
    "copy_geo, identity", better="lower",
)  # fmt: skip
COPY_POSE = Metric(
    generation_key("new_pose", "copy_geo_pose"), "copy_geo, pose: nearer the reference's (+) or the asked one",
    "copy_geo, pose", better="lower",
)  # fmt: skip
COPY_BACKGROUND = Metric(
    generation_key("new_background", "copy_geo_background"),
    "copy_geo, background: nearer the reference (+) or the truth",
    "copy_geo, background", better="lower",
)  # fmt: skip
LOOK_ALIKES = Metric(
    generation_key("new_background", "look_alike_map"), "generated picture as query among look-alikes, mAP",
    "mAP among look-alikes", generation_key("new_background", "look_alike_chance"),
)  # fmt: skip

METRICS = (
    R1, MAP, R1_EASY, SSR, SSR_STRANGERS, PAIRWISE, TWINS, POSE, POSE_ID, BACKGROUND, SUBJECT, ATTRIBUTES, KEYPOINTS,
    KEPT, LOOK_ALIKES, POSE_COPY, COPY_IDENTITY, COPY_POSE, COPY_BACKGROUND,
)  # fmt: skip
"""In the order of the table and of the criteria."""
