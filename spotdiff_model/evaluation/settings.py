"""Settings of an evaluation; the options of ``python -m spotdiff_model.evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from pipeline.config import UserError, checked
from spotdiff_model.shipped import is_shipped


class EvaluateConfig(BaseModel):
    """One evaluation. Descriptions are the command line's help."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model: str | None = Field(
        None,
        description="Output folder of a training (ours or a baseline's), a repo on the hub, or package:tiny.",
    )
    encoder: str | None = Field(
        None,
        description="Instead: anybody's encoder, a model in transformers' layout (folder or repo), or module:function.",
    )
    pictures: str | None = Field(
        None, description="Instead: a folder of anybody's pictures, ID.png for each request of --requests."
    )
    requests: str | None = Field(
        None, description="List made by python -m spotdiff_model.requests; default: requests are drawn anew."
    )
    manifest: str = Field(description="The dataset: file, or folder of parts.")
    split: str = Field("test", description="Judged rows: test, validation or train.")
    output_dir: str | None = Field(
        None, description="Gets metrics.json, report.html, plots; default: evaluation in the folder of the model."
    )
    models_root: str | None = Field(None, description="Folder in hub layout that stands in for the hub.")
    seeds: int = Field(
        3, ge=1, description="So many seeds (0, 1, ...) for the probes and, with --ablations, the trainings."
    )
    max_rows: int = Field(2000, ge=20, description="Judge at most so many rows of the split, drawn by seed 0.")
    fit_rows: int = Field(
        2000,
        ge=20,
        description="Training rows that baselines and attribute probes are fitted on, at most.",
    )
    mlp: bool = Field(True, description="Also probe with small networks (first seed).")
    generation: bool = Field(True, description="Also generate and judge pictures.")
    bounds: bool = Field(
        True, description="Also baselines that need no training and, for pictures, the real ones and the text prompt."
    )
    scale: float | None = Field(
        None, ge=0, description="Baselines: judge pictures only, made at this strength of the subject (0: base model)."
    )
    save_pictures: bool = Field(False, description="Also write the generated pictures, ID.png.")
    subjects: int = Field(10, ge=1, description="Generation: subjects of the split, at most.")
    backgrounds: int = Field(4, ge=0, description="Generation: new backgrounds per subject.")
    poses: int = Field(4, ge=0, description="Generation: new poses per subject, through ControlNet.")
    edits: int = Field(1, ge=0, description="Generation: attribute edits per subject.")
    dino: str | None = Field(None, description="DINO in transformers' layout (folder or hub id), for DINO scores.")
    ablations: bool = Field(False, description="Also train and judge the ablations, once per seed.")
    ablation_steps: int | None = Field(None, ge=1, description="Steps of these trainings; default: the model's.")
    dreambench: str | None = Field(None, description="Folder in google/dreambooth's layout to evaluate, too.")
    dreambench_images: int = Field(4, ge=1, description="Pictures per prompt of DreamBench.")

    @property
    def title(self) -> str:
        """Whom it is about."""
        return str(self.model or self.encoder or self.pictures)

    @property
    def folder(self) -> Path:
        """Where the results go."""
        if self.output_dir:
            return Path(self.output_dir)
        if self.encoder or is_shipped(self.title):
            return Path("work/evaluation") / "".join(c if c.isalnum() or c in "-." else "-" for c in self.title)
        return Path(self.title) / "evaluation"


def evaluate_config(**values: Any) -> EvaluateConfig:
    """A checked config; unset (None) values fall back to the defaults.

    Raises:
        UserError: Names the first wrong field.
    """
    config = checked(EvaluateConfig, "evaluation", values)
    named = [name for name in ("model", "encoder", "pictures") if getattr(config, name)]
    if len(named) != 1:
        raise UserError(f"evaluation: name one of --model, --encoder and --pictures (got {', '.join(named) or 'none'})")
    if config.pictures and not config.requests:
        raise UserError("evaluation: --pictures: also name the list that they were made for (--requests)")
    if config.scale is not None and not (config.model and config.generation):
        raise UserError("evaluation: --scale is of a baseline's pictures: it needs --model and generation")
    for name in ("ablations", "dreambench"):
        if getattr(config, name) and not config.model:
            raise UserError(f"evaluation: --{name} needs --model, the output folder of a training")
    return config
