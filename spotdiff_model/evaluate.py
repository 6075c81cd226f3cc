"""``python -m spotdiff_model.evaluate --model DIR --manifest FILE``: does an encoder separate what it should?"""

from __future__ import annotations

from typing import Any

import typer

from spotdiff_model.command import run, with_options
from spotdiff_model.evaluation.settings import EvaluateConfig, evaluate_config


def main(**options: Any) -> None:
    """Judges a subject encoder, ours or anybody's, or anybody's pictures: metrics.json, report.html, plots, model card.

    Leakage probes, retrieval with a hard gallery, dependence of the features, generated pictures; beside raw CLIP,
    closed-form erasure (LEACE) and, with --ablations, trainings that lack a part.
    """
    config = evaluate_config(**options)
    from spotdiff_model.evaluation.evaluation import evaluate
    from spotdiff_model.evaluation.report.card import update_card
    from spotdiff_model.evaluation.report.report import criteria_text, table_text, write_report

    result = evaluate(config, lambda text: typer.echo(f"... {text}", err=True))
    write_report(result, config.folder)
    if config.model:
        update_card(config.model, result)
    typer.echo(f"{table_text(result)}\n\n{criteria_text(result)}\n\nreport: {config.folder / 'report.html'}")


if __name__ == "__main__":
    run(with_options(EvaluateConfig, main))
