"""Options made from settings."""

from __future__ import annotations

from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from pipeline.config import UserError
from spotdiff_model.command import with_options
from spotdiff_model.config import TrainConfig, train_config


def _run(*arguments: str) -> tuple[str, list[TrainConfig]]:
    made: list[TrainConfig] = []

    def main(**options: Any) -> None:
        """Help."""
        made.append(train_config(**options))

    app = typer.Typer(rich_markup_mode=None)
    app.command()(with_options(TrainConfig, main))
    return CliRunner().invoke(app, list(arguments)).output, made


def test_options_of_earlier_versions_work_and_are_not_shown() -> None:
    shown, _ = _run("--help")
    assert "--augmentations" in shown and "--num_pseudo_tokens" in shown
    assert "--views" not in shown and "--num_words" not in shown
    for flags in (("--views", "1", "--num_words", "5"), ("--augmentations", "1", "--num_pseudo_tokens", "5")):
        _, (config,) = _run("--manifest", "v1.parquet", *flags)
        assert (config.augmentations, config.num_pseudo_tokens) == (1, 5)


def test_a_wrong_value_is_named_as_it_is_called() -> None:
    with pytest.raises(UserError, match="augmentations: "):
        train_config(manifest="v1.parquet", augmentations=-1)
