"""Settings of an evaluation; the options of ``python -m spotdiff_model.evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from pipeline.config import checked


class EvaluateConfig(BaseModel):
    """One evaluation. Descriptions are the command line's help."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model: str = Field(description="Output folder of a training, or an encoder's repo on the hub.")
    manifest: str = Field(description="The dataset: file, or folder of parts.")
    split: str = Field("test", description="Judged rows: test, validation or train.")
    output_dir: str | None = Field(
        None, description="Gets metrics.json, report.html, plots; default: MODEL/evaluation."
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
    def folder(self) -> Path:
        """Where the results go."""
        return Path(self.output_dir) if self.output_dir else Path(self.model) / "evaluation"


def evaluate_config(**values: Any) -> EvaluateConfig:
    """A checked config; unset (None) values fall back to the defaults.

    Raises:
        UserError: Names the first wrong field.
    """
    return checked(EvaluateConfig, "evaluation", values)
