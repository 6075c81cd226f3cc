"""All measures of one method as flat numbers, once per seed; mean and spread over the seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from spotdiff_model.evaluation import metrics
from spotdiff_model.evaluation.clusters import ERROR, error_key
from spotdiff_model.evaluation.features import Features
from spotdiff_model.evaluation.probes.dependence import dependences
from spotdiff_model.evaluation.probes.factors import FactorLabels
from spotdiff_model.evaluation.probes.leakage import (
    MATRIX,
    TARGETS,
    LeakageSettings,
    attribute_transfer,
    keypoints_within,
    leakage,
)
from spotdiff_model.evaluation.probes.ranking import same_subject_ranking
from spotdiff_model.evaluation.probes.retrieval import retrievals
from spotdiff_model.evaluation.probes.twins import near_twins, twin_ranking
from spotdiff_model.evaluation.untrained import Method

_NOTHING = 0.01
"""Above chance: where full CLIP tells less of a target, there is nothing to compare with."""
Values = dict[str, float]
"""By the keys of :mod:`spotdiff_model.evaluation.metrics`."""
_LINEAR = LeakageSettings()
_MLP = LeakageSettings(folds=2, crossed_folds=2, kind="mlp", targets=MATRIX)


@dataclass(frozen=True)
class ScoringSettings:
    """Size of the effort.

    Attributes:
        linear: Of the linear probes, made for each seed.
        mlp: Of the small networks, made for the first seed only; None: none.
        permutations: For the p-values of the dependences.
        permuted: Whether the probes of f_s are also made on permuted labels, for the first seed: what they reach then
            (Hewitt and Liang 2019) is the probe's own doing.
    """

    linear: LeakageSettings = _LINEAR
    mlp: LeakageSettings | None = _MLP
    permutations: int = 199
    permuted: bool = True


@dataclass(frozen=True)
class Scores:
    """One method's.

    Attributes:
        values: Each metric's value for each seed, in the order of the seeds (one value for what is measured once).
    """

    name: str
    title: str
    remark: str
    values: dict[str, list[float]] = field(default_factory=dict)

    def mean(self, metric: str) -> float | None:
        """Over the seeds; None where the split could not tell."""
        return float(np.mean(self.values[metric])) if metric in self.values else None

    def std(self, metric: str) -> float | None:
        """Sample standard deviation over the seeds; None for a single value."""
        values = self.values.get(metric, [])
        return float(np.std(values, ddof=1)) if len(values) > 1 else None

    def error(self, metric: str) -> float | None:
        """Standard error clustered by subject; None where the measure has none."""
        return self.mean(error_key(metric))

    def summary(self) -> dict[str, Any]:
        """JSON-able."""
        summaries = {
            name: {"mean": self.mean(name), "std": self.std(name), "error": self.error(name), "values": values}
            for name, values in sorted(self.values.items())
            if not name.endswith(ERROR)
        }
        return {"title": self.title, "remark": self.remark, "metrics": summaries}


def score_method(
    method: Method,
    judged: FactorLabels,
    fitted: FactorLabels | None,
    settings: ScoringSettings,
    seeds: Sequence[int],
) -> Scores:
    """Judges a method once per seed; where it was trained by seed, training i meets seed i.

    Args:
        method: With its features.
        judged: FactorLabels of the judged rows.
        fitted: Of the training rows on which attribute probes are fitted; None: no such probes.
        settings: Size of the effort.
        seeds: Of folds, draws and permutations.
    """
    values: dict[str, list[float]] = {}
    for number, seed in enumerate(seeds):
        features = method.judged[number % len(method.judged)]
        known = method.fitted[number % len(method.fitted)] if fitted is not None else None
        effort = settings if number == 0 else replace(settings, mlp=None, permuted=False)
        found = measure(features, judged, effort, seed)
        if known is not None and fitted is not None:
            found |= _attributes((known, fitted), (features, judged), settings, seed)
        for name, value in found.items():
            values.setdefault(name, []).append(value)
    return Scores(method.name, method.title, method.remark, values)


def measure(features: Features, factors: FactorLabels, settings: ScoringSettings, seed: int) -> Values:
    """Leakage, retrieval, dependence and keypoints of one set of features."""
    found: Values = {}
    for probe in filter(None, (settings.linear, settings.mlp)):
        for feature, row in leakage(features, factors, probe, seed).items():
            for target, score in row.items():
                if score is not None:
                    found[metrics.leakage_key(probe.kind, feature, target)] = score.value
                    found[metrics.leakage_chance_key(probe.kind, feature, target)] = score.chance
        if settings.permuted:
            found |= _permuted(features, factors, probe, seed)
    for feature, galleries in retrievals(features, factors, seed).items():
        for gallery, result in galleries.items():
            found |= _measured(partial(metrics.retrieval_key, feature, gallery), result)
    found |= _measured(metrics.ranking_key, same_subject_ranking(features.subject, factors, seed=seed))
    told_apart = twin_ranking(features.subject, factors, seed=seed)
    found |= _measured(metrics.twins_key, told_apart)
    if told_apart is not None:
        strangers = same_subject_ranking(features.subject, factors, excused=near_twins(factors), seed=seed)
        found |= _measured(metrics.strangers_key, strangers)
    for pair, measured in dependences(features, seed, settings.permutations).items():
        found |= _measured(partial(metrics.dependence_key, *pair), measured)
    if features.keypoints is not None:
        found[metrics.KEYPOINTS.key] = keypoints_within(features.keypoints, factors.keypoints)
    return found


def _measured(key: Callable[[str], str], result: object | None) -> Values:
    """The numbers of a measurement, by the keys of their names; nothing of one that was not possible."""
    if result is None:
        return {}
    return {key(name): float(value) for name, value in vars(result).items() if value is not None}


def _permuted(features: Features, factors: FactorLabels, probe: LeakageSettings, seed: int) -> Values:
    control = leakage(Features(features.subject), factors, replace(probe, targets=MATRIX, permuted=True), seed)
    return {
        metrics.permuted_key(probe.kind, feature, target): score.value
        for feature, row in control.items()
        for target, score in row.items()
        if score is not None
    }


def leakage_table(scores: Scores, raw: Sequence[Scores], kind: str) -> dict[str, dict[str, dict[str, float | None]]]:
    """The leakage matrix of a method, seeds averaged.

    Args:
        scores: The method's.
        raw: Of the frozen CLIP, its embedding and its tokens: whichever tells more of a target is full CLIP there.
        kind: Of the probes.

    Returns:
        By feature and target: ``value``, ``chance``, and ``share``, the value between chance (0) and what the same
        probe reads from full CLIP (1); None where that is nothing.
    """
    table: dict[str, dict[str, dict[str, float | None]]] = {}
    for feature in MATRIX:
        for target in TARGETS:
            above = _above_chance(scores, kind, feature, target)
            if above is None:
                continue
            most = max((_above_chance(each, kind, "subject", target) or 0.0 for each in raw), default=0.0)
            table.setdefault(feature, {})[target] = {
                "value": scores.mean(metrics.leakage_key(kind, feature, target)),
                "chance": scores.mean(metrics.leakage_chance_key(kind, feature, target)),
                "share": above / most if most > _NOTHING else None,
            }
    return table


def _above_chance(scores: Scores, kind: str, feature: str, target: str) -> float | None:
    value = scores.mean(metrics.leakage_key(kind, feature, target))
    chance = scores.mean(metrics.leakage_chance_key(kind, feature, target))
    return None if value is None or chance is None else max(0.0, value - chance)


def _attributes(
    fitted: tuple[Features, FactorLabels], judged: tuple[Features, FactorLabels], settings: ScoringSettings, seed: int
) -> Mapping[str, float]:
    scores = attribute_transfer(fitted, judged, settings.linear, seed)
    found = {metrics.attribute_key(name): score.value for name, score in scores.items()}
    if scores:
        found[metrics.ATTRIBUTES.key] = float(np.mean([score.value for score in scores.values()]))
        found[metrics.ATTRIBUTES.chance] = float(np.mean([score.chance for score in scores.values()]))
    return found
