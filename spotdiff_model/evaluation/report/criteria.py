"""The acceptance criteria: what an encoder must show, held against what it was measured to show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from spotdiff_model.evaluation.metrics import METRICS, Results
from spotdiff_model.evaluation.scoring import Scores


@dataclass(frozen=True)
class Criterion:
    """One acceptance criterion.

    Attributes:
        what: The metric's title.
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


def acceptance_criteria(ours: Scores, others: Mapping[str, Scores]) -> list[Criterion]:
    """The criteria, in the order of the metrics.

    Args:
        ours: The encoder's.
        others: Of the baselines by name; the ablation ``reference-same`` too where it was trained.
    """
    results = Results(ours, others)
    criteria = []
    for metric in METRICS:
        if metric.must and metric.aim:
            value, must, aim = metric.value(ours), metric.must(metric, results), metric.aim(metric, results)
            reached = metric.met(value, aim)
            criteria.append(Criterion(metric.title, value, must.text, aim.text, metric.met(value, must), reached))
    return criteria
