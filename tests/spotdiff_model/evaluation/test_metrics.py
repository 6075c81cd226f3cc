"""The registry: what scoring fills in is what the table and the criteria ask for."""

from __future__ import annotations

from toy import perfect, toy_factors

from spotdiff_model.evaluation import metrics
from spotdiff_model.evaluation.generation.measures import MEASURES
from spotdiff_model.evaluation.generation.requests import PARTS
from spotdiff_model.evaluation.metrics import METRICS, Bound, Metric
from spotdiff_model.evaluation.probes.leakage import LeakageSettings
from spotdiff_model.evaluation.scoring import ScoringSettings, score_method
from spotdiff_model.evaluation.untrained import Method


def test_every_metric_is_filled_in_under_its_key():
    factors, known = toy_factors(seed=1), toy_factors(seed=2)
    settings = ScoringSettings(LeakageSettings(folds=2, crossed_folds=2), None, 9)
    method = Method("ours", "ours", "", [perfect(factors)], [perfect(known)])
    filled = score_method(method, factors, known, settings, [0]).values.keys()
    filled |= {metrics.generation_key(part, measure) for part in PARTS for measure in MEASURES}
    assert {metric.key for metric in METRICS} <= filled
    assert {metric.chance for metric in METRICS if metric.chance} <= filled
    assert len({metric.key for metric in METRICS}) == len(METRICS)


def test_a_bound_is_reached_from_the_better_side():
    high, low = Metric("high", "high"), Metric("low", "low", better="lower")
    assert high.met(0.6, Bound("", 0.5)) and not low.met(0.6, Bound("", 0.5))
    assert low.met(0.4, Bound("", 0.5)) and not high.met(0.4, Bound("", 0.5))
    for metric in (high, low):
        assert metric.met(0.5, Bound("", 0.5)) is True
        assert metric.met(0.5, Bound("", 0.5, strict=True)) is False
        assert metric.met(None, Bound("", 0.5)) is metric.met(0.5, Bound("-")) is None
