"""``python -m spotdiff_model.train --manifest FILE [--method NAME]``: trains an encoder, or a baseline."""

from __future__ import annotations

from typing import Any

import typer

from spotdiff_model.command import run, with_options
from spotdiff_model.config import train_config
from spotdiff_model.methods import OURS, TrainOptions, split_options


def main(**options: Any) -> None:
    """Trains the subject encoder (our reconstruction of SpotDiff) on a manifest. All but the manifest may be left out.

    On several GPUs: accelerate launch -m spotdiff_model.train --manifest ...
    With --method also other people's methods, rebuilt small; they take the options that they have.
    """
    method, given, search = split_options(options)
    if method in OURS:
        config = train_config(**given)
        from spotdiff_model.trainer import train

        typer.echo(f"encoder: {train(config)}")
        return
    from spotdiff_model.baselines.registry import METHODS, baseline_config

    if method == "list":
        typer.echo("\n".join([*OURS, *METHODS]))
        return
    settings = baseline_config(method, **given)
    from spotdiff_model.baselines.search import searched
    from spotdiff_model.baselines.training import train_baseline

    def say(text: str) -> None:
        typer.echo(f"... {text}", err=True)

    if search:
        settings = searched(settings, say)
    typer.echo(f"baseline: {train_baseline(settings, say)}")


if __name__ == "__main__":
    run(with_options(TrainOptions, main))
