"""``python -m spotdiff_model.ship --model DIR``: a trained encoder becomes one that ships with the package."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.config import UserError, checked, first_problem
from spotdiff_model.command import run, with_options
from spotdiff_model.config import TrainConfig
from spotdiff_model.shipped import PACKAGE, PRETRAINED, model_folder

if TYPE_CHECKING:
    from spotdiff_model.model import SpotDiffEncoder

ORIGIN = "origin.json"
"""Beside the weights: what they were trained on and with."""
_PLACES = {
    "manifest",
    "output_dir",
    "cache_dir",
    "models_root",
    "report_to",
    "resume_from_checkpoint",
    "push_to_hub",
    "hub_model_id",
}
"""Of the machine that trained, not of the recipe."""


class ShipConfig(BaseModel):
    """One call of the command; descriptions are its help."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model: str = Field(description="Output folder of a training of ours.")
    metrics: str | None = Field(
        None, description="metrics.json of its evaluation; default: evaluation/metrics.json in the folder."
    )
    name: str = Field("tiny", pattern=r"^[a-z0-9][a-z0-9-]*$", description="It is called package:NAME then.")
    output_dir: str = Field(str(PRETRAINED), description="Gets the folder NAME.")


def main(**options: Any) -> None:
    """Writes a trained encoder and a card that says what it is and what was measured."""
    folder = ship(checked(ShipConfig, "ship", options))
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    typer.echo(f"{folder}: {size / 1e6:.1f} MB")


def ship(config: ShipConfig) -> Path:
    """Writes the folder anew and returns it.

    Raises:
        UserError: No training of ours, no figures, or base models that do not ship.
    """
    source = Path(config.model)
    trained, metrics = _train_config(source), _metrics(config)
    from spotdiff_model.evaluation.report.card import last_losses
    from spotdiff_model.model import SpotDiffEncoder
    from spotdiff_model.pipeline import LORA, LORA_WEIGHTS

    encoder = SpotDiffEncoder.from_pretrained(source)
    foreign = [ref.repo for _, ref in encoder.config.models if ref is not None and not ref.repo.startswith(PACKAGE)]
    if foreign:
        raise UserError(
            f"model {source}: stands on {foreign[0]}, which does not ship; train on a manifest of the profile tiny"
        )
    folder = Path(config.output_dir) / config.name
    made_by = recipe(trained)  # before the folder goes: it may be the one that the training began with
    shutil.rmtree(folder, ignore_errors=True)
    card = {
        "loaded": f'from_pretrained("{PACKAGE}{config.name}")',
        "recipe": made_by,
        "figures": [_figure(line) for line in metrics["acceptance_criteria"]],
        "data": metrics["data"],
        "losses": last_losses(source),
    }
    encoder.save_pretrained(folder, model_card_kwargs=card)
    if (source / LORA / LORA_WEIGHTS).is_file():
        shutil.copytree(source / LORA, folder / LORA)
    (folder / ORIGIN).write_text(json.dumps(origin(encoder, made_by), indent=1) + "\n", "utf-8")
    return folder


def recipe(trained: TrainConfig) -> str:
    """The command that trains it, without the places of the machine that did.

    Where it began with the weights of another encoder whose recipe is known, that one's comes first, a line each.
    """
    defaults = TrainConfig(manifest="-")
    before = _begun_with(trained)
    options = [f"--manifest {Path(trained.manifest).name}"]
    if before:
        first, own = (_output_dir(defaults, number) for number in (len(before), len(before) + 1))
        options += [f"--encoder_name_or_path {first}", f"--output_dir {own}"]
    for name in sorted(TrainConfig.model_fields.keys() - _PLACES - ({"encoder_name_or_path"} if before else set())):
        value = getattr(trained, name)
        if name == "pose_pictures" and value:
            value = Path(value).name
        if value == getattr(defaults, name):
            continue
        if isinstance(value, bool):
            options.append(f"--{'' if value else 'no_'}{name}")
        else:
            options += [f"--{name} {each}" for each in (value if isinstance(value, tuple) else (value,))]
    return "\n".join([*before, " ".join(["python -m spotdiff_model.train", *options])])


def _begun_with(trained: TrainConfig) -> list[str]:
    """The commands behind the encoder that a training began with; none where it began anew or nobody knows."""
    if trained.encoder_name_or_path is None:
        return []
    folder = Path(model_folder(trained.encoder_name_or_path))
    if (folder / ORIGIN).is_file():
        return str(json.loads((folder / ORIGIN).read_text("utf-8"))["recipe"]).splitlines()
    try:
        return recipe(_train_config(folder)).splitlines()
    except UserError:
        return []


def _output_dir(defaults: TrainConfig, number: int) -> str:
    """Of the first command of a recipe, which names none, and of those after it."""
    return defaults.output_dir if number == 1 else f"{defaults.output_dir}-{number}"


def origin(encoder: SpotDiffEncoder, made_by: str) -> dict[str, Any]:
    """Manifest, recipe, and the content of the base models: with others the weights are of no use."""
    from pipeline.models.resolve import Model

    models = {role: Model(ref).fingerprint() for role, ref in encoder.config.models if ref is not None}
    return {"manifest_digest": encoder.config.manifest_digest, "recipe": made_by, "models": models}


def _train_config(folder: Path) -> TrainConfig:
    from spotdiff_model.evaluation.ablations import TRAIN_CONFIG

    try:
        return TrainConfig.model_validate_json((folder / TRAIN_CONFIG).read_text("utf-8"))
    except OSError as error:
        raise UserError(
            f"--model {folder}: {TRAIN_CONFIG}: {error.strerror or error}; name the output folder of a training of ours"
        ) from error
    except ValidationError as error:
        raise UserError(f"--model {folder}: {TRAIN_CONFIG}: {first_problem(error)}") from error


def _metrics(config: ShipConfig) -> Mapping[str, Any]:
    path = Path(config.metrics) if config.metrics else Path(config.model) / "evaluation" / "metrics.json"
    try:
        metrics: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return {name: metrics[name] for name in ("acceptance_criteria", "data")}
    except OSError as error:
        raise UserError(
            f"--metrics {path}: {error.strerror or error}; a card names figures: run "
            f"`python -m spotdiff_model.evaluate --model {config.model} --manifest FILE` first"
        ) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"--metrics {path}: not written by python -m spotdiff_model.evaluate ({error})") from error


def _figure(line: Mapping[str, Any]) -> list[str]:
    """A line of the card's table: what, measured, must, aim, outcome."""
    measured = "not told" if line["measured"] is None else f"{line['measured']:.3f}"
    met = {True: "met", False: "**missed**", None: ""}[line["met"]]
    outcome = "aim reached" if line["reached"] and line["met"] is not False else met
    return [line["what"], measured, line["must"], line["aim"], outcome]


if __name__ == "__main__":
    run(with_options(ShipConfig, main))
