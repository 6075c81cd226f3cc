"""The same training with one thing left out: what does each part contribute?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.config import UserError
from spotdiff_model.config import TrainConfig

TRAIN_CONFIG = "train_config.json"
WEIGHTS = "model.safetensors"
COMPLETE = "complete"


@dataclass(frozen=True)
class Ablation:
    """``changes``: fields of :class:`~spotdiff_model.config.TrainConfig`."""

    name: str
    title: str
    remark: str
    changes: Mapping[str, Any]


ABLATIONS = (
    Ablation(COMPLETE, "ours, trained again", "Nothing left out; as many steps as the ablations.", {}),
    Ablation(
        "no-orthogonality",
        "no orthogonality",
        "Orthogonality loss off, nothing erased.",
        {"orthogonality_weight": 0.0, "project": False},
    ),
    Ablation("no-experts", "no experts", "No pose and background expert, nothing erased.", {"experts": False}),
    Ablation("no-independence", "no independence", "Independence loss off.", {"independence_weight": 0.0}),
    Ablation("reference-same", "reference = target", "Trained to reproduce the reference.", {"reference": "same"}),
    Ablation(
        "orthogonality-only",
        "orthogonality only",
        "Beside the noise loss only orthogonality: no spotting, no independence, no text, no distillation, no erasure.",
        {
            "spotting_weight": 0.0,
            "independence_weight": 0.0,
            "text_weight": 0.0,
            "distillation_weight": 0.0,
            "project": False,
        },
    ),
)


def base_config(model: str, manifest: str) -> TrainConfig:
    """The configuration that a model was trained with.

    Raises:
        UserError: The folder has none.
    """
    path = Path(model) / TRAIN_CONFIG
    try:
        saved = TrainConfig.model_validate_json(path.read_text("utf-8"))
    except OSError as error:
        raise UserError(f"--ablations: no {path}; name the output folder of a training as --model") from error
    except ValidationError as error:
        raise UserError(f"--ablations: {path} is not of this version; train the model again") from error
    return saved.model_copy(update={"manifest": manifest, "resume_from_checkpoint": None, "push_to_hub": False})


def ablation_runs(
    base: TrainConfig, seeds: Sequence[int], folder: Path, steps: int | None
) -> Iterator[tuple[Ablation, list[TrainConfig]]]:
    """Each ablation with its trainings, one per seed, in ``folder/NAME/seed-S``; frozen features are shared."""
    for ablation in ABLATIONS:
        yield (
            ablation,
            [
                base.model_copy(
                    update={
                        "output_dir": str(folder / ablation.name / f"seed-{seed}"),
                        "cache_dir": str(base.cache_folder),
                        "max_train_steps": steps or base.max_train_steps,
                        "checkpoints_total_limit": 1,
                        "num_validation_images": 0,
                        "validation_steps": 0,
                        "report_to": "none",
                        "seed": seed,
                        **ablation.changes,
                    }
                )
                for seed in seeds
            ],
        )


def trained(config: TrainConfig, digest: str) -> Path:
    """The folder of a training's encoder; what an earlier evaluation has done of it is not done again.

    Args:
        config: Of the training.
        digest: Of its manifest.
    """
    from spotdiff_model.trainer import train
    from spotdiff_model.training import checkpoints

    folder = Path(config.output_dir)
    try:
        done = checkpoints.to_resume(folder, "latest", config, digest)
    except UserError:  # of other settings or of another manifest
        done = None
    if done and done[1] == config.max_train_steps and (folder / WEIGHTS).is_file():
        return folder
    (folder / WEIGHTS).unlink(missing_ok=True)
    return train(config.model_copy(update={"resume_from_checkpoint": "latest" if done else None}))
