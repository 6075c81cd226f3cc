"""All measures of one contender as flat numbers, once per seed; mean and spread over the seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from spotdiff_model.judgement.blocks import Blocks
from spotdiff_model.judgement.contenders import Contender
from spotdiff_model.judgement.dependence import dependences
from spotdiff_model.judgement.factors import Factors
from spotdiff_model.judgement.leakage import (
    MATRIX,
    TARGETS,
    LeakageSettings,
    attribute_transfer,
    keypoints_within,
    leakage,
)
from spotdiff_model.judgement.retrieval import retrievals

_NOTHING = 0.01
"""Above chance: where full CLIP tells less of a target, there is nothing to compare with."""
Metrics = dict[str, float]
"""Values by slash-separated name, e.g. ``leakage/linear/subject/pose`` or ``retrieval/subject/hard/recall_at_1``."""


_LINEAR = LeakageSettings()
_MLP = LeakageSettings(folds=2, crossed_folds=2, kind="mlp", targets=MATRIX)


@dataclass(frozen=True)
class ScoringSettings:
    """Size of the effort.

    Attributes:
        linear: Of the linear probes, made for each seed.
        mlp: Of the small networks, made for the first seed only; None: none.
        permutations: For the p-values of the dependences.
    """

    linear: LeakageSettings = _LINEAR
    mlp: LeakageSettings | None = _MLP
    permutations: int = 199


@dataclass(frozen=True)
class Scores:
    """One contender's.

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

    def summary(self) -> dict[str, Any]:
        """JSON-able."""
        metrics = {
            name: {"mean": self.mean(name), "std": self.std(name), "values": values}
            for name, values in sorted(self.values.items())
        }
        return {"title": self.title, "remark": self.remark, "metrics": metrics}


def score_contender(
    contender: Contender,
    judged: Factors,
    fitted: Factors | None,
    settings: ScoringSettings,
    seeds: Sequence[int],
) -> Scores:
    """Judges a contender once per seed; where it was trained by seed, training i meets seed i.

    Args:
        contender: With its features.
        judged: Factors of the judged rows.
        fitted: Of the training rows on which attribute probes are fitted; None: no such probes.
        settings: Size of the effort.
        seeds: Of folds, draws and permutations.
    """
    values: dict[str, list[float]] = {}
    for at, seed in enumerate(seeds):
        blocks = contender.judged[at % len(contender.judged)]
        known = contender.fitted[at % len(contender.fitted)] if fitted is not None else None
        found = measure(blocks, judged, settings if at == 0 else replace(settings, mlp=None), seed)
        if known is not None and fitted is not None:
            found |= _attributes((known, fitted), (blocks, judged), settings, seed)
        for name, value in found.items():
            values.setdefault(name, []).append(value)
    return Scores(contender.name, contender.title, contender.remark, values)


def measure(blocks: Blocks, factors: Factors, settings: ScoringSettings, seed: int) -> Metrics:
    """Leakage, retrieval, dependence and keypoints of one set of blocks."""
    found: Metrics = {}
    for probe in filter(None, (settings.linear, settings.mlp)):
        for block, row in leakage(blocks, factors, probe, seed).items():
            for target, score in row.items():
                if score is not None:
                    found[f"leakage/{probe.kind}/{block}/{target}"] = score.value
                    found[f"chance/{probe.kind}/{block}/{target}"] = score.chance
    for block, galleries in retrievals(blocks, factors, seed).items():
        for gallery, result in galleries.items():
            if result is not None:
                found |= {f"retrieval/{block}/{gallery}/{name}": float(v) for name, v in vars(result).items()}
    for pair, measured in dependences(blocks, seed, settings.permutations).items():
        found |= {f"dependence/{pair}/{name}": v for name, v in vars(measured).items() if v is not None}
    if blocks.keypoints is not None:
        found["keypoints_within_0.05"] = keypoints_within(blocks.keypoints, factors.keypoints)
    return found


def leakage_table(scores: Scores, raw: Sequence[Scores], kind: str) -> dict[str, dict[str, dict[str, float | None]]]:
    """The leakage matrix of a contender, seeds averaged.

    Args:
        scores: The contender's.
        raw: Of the frozen CLIP, its embedding and its tokens: whichever tells more of a target is full CLIP there.
        kind: Of the probes.

    Returns:
        By block and target: ``value``, ``chance``, and ``share``, the value between chance (0) and what the same probe
        reads from full CLIP (1); None where that is nothing.
    """
    table: dict[str, dict[str, dict[str, float | None]]] = {}
    for block in MATRIX:
        for target in TARGETS:
            above = _above_chance(scores, kind, block, target)
            if above is None:
                continue
            most = max((_above_chance(each, kind, "subject", target) or 0.0 for each in raw), default=0.0)
            table.setdefault(block, {})[target] = {
                "value": scores.mean(f"leakage/{kind}/{block}/{target}"),
                "chance": scores.mean(f"chance/{kind}/{block}/{target}"),
                "share": above / most if most > _NOTHING else None,
            }
    return table


def _above_chance(scores: Scores, kind: str, block: str, target: str) -> float | None:
    value, chance = (scores.mean(f"{part}/{kind}/{block}/{target}") for part in ("leakage", "chance"))
    return None if value is None or chance is None else max(0.0, value - chance)


def _attributes(
    fitted: tuple[Blocks, Factors], judged: tuple[Blocks, Factors], settings: ScoringSettings, seed: int
) -> Mapping[str, float]:
    scores = attribute_transfer(fitted, judged, settings.linear, seed)
    found = {f"attributes/{name}": score.value for name, score in scores.items()}
    if scores:
        found["attributes/mean"] = float(np.mean([score.value for score in scores.values()]))
        found["chance/attributes/mean"] = float(np.mean([score.chance for score in scores.values()]))
    return found
