"""``python -m spotdiff_model.train --manifest manifests/v1.parquet``: trains the encoder (our reconstruction)."""

from __future__ import annotations

from typing import Any

import typer

from spotdiff_model.command import run, with_options
from spotdiff_model.config import TrainConfig, train_config


def main(**options: Any) -> None:
    """Trains the subject encoder (our reconstruction of SpotDiff) on a manifest. All but the manifest may be left out.

    On several GPUs: accelerate launch -m spotdiff_model.train --manifest ...
    """
    config = train_config(**options)
    from spotdiff_model.trainer import train

    typer.echo(f"encoder: {train(config)}")


if __name__ == "__main__":
    run(with_options(TrainConfig, main))
