"""Trains and evaluates what a plan names; what is there already is not done again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.paper.plan import Effort, Run
from pipeline import store
from pipeline.config import UserError
from pipeline.manifest.filter import Choice, filter_manifest
from pipeline.manifest.read import Manifest
from spotdiff_model.data.rows import read_rows
from spotdiff_model.methods import OURS

Say = Callable[[str], None]
_BEFORE = {"denoising": True}
"""What runs had before it could be chosen."""


@dataclass(frozen=True)
class Paper:
    """Where everything lies.

    Attributes:
        manifest: The dataset.
        folder: Of all trainings, tables and figures.
        pose_pictures: Further pictures for the pose expert of ours.
    """

    manifest: str
    folder: Path
    effort: Effort
    models_root: str | None
    say: Say
    pose_pictures: str | None = None

    @property
    def requests(self) -> Path:
        """The list of pictures that every method is asked for."""
        return self.folder / "requests" / "requests.jsonl"

    def begin(self) -> None:
        """Writes the list of pictures, once, and how much is done; a folder holds runs of one kind.

        Raises:
            UserError: The folder's runs were made with another effort or from another manifest.
        """
        digest = Manifest(self.manifest).digest
        told = {"manifest_digest": digest, "pose_pictures": self.pose_pictures, **self.effort.alike}
        path = self.folder / "effort.json"
        if path.is_file():
            before = json.loads(path.read_text("utf-8"))
            if other := [name for name in told if before.get(name, _BEFORE.get(name)) != told[name]]:
                raise UserError(
                    f"--output_dir {self.folder}: its runs have {other[0]} {before.get(other[0])}, not "
                    f"{told[other[0]]}; choose another folder"
                )
        store.write_bytes(str(path), (json.dumps(told, indent=1) + "\n").encode())
        if not self.requests.is_file():
            from spotdiff_model.requests import main

            effort = self.effort
            main(
                manifest=self.manifest, output_dir=str(self.requests.parent), subjects=effort.subjects,
                backgrounds=effort.backgrounds, poses=effort.poses, edits=effort.edits,
            )  # fmt: skip

    def done(self, run: Run) -> dict[str, Any] | None:
        """``metrics.json`` of a run, after its training and evaluation.

        The first one of table 1 brings along the baselines that need no training and the pictures' bounds.

        Returns:
            None where the dataset is too small for it, which is said.
        """
        if (found := self.found(run)) is not None:
            return found
        folder = self.folder / run.folder
        manifest = self._cut(run)
        if manifest is None:
            return None
        self.say(f"{run.trained}: training")
        self._train(run, self.folder / run.trained, manifest)
        self.say(f"{run.folder}: evaluation")
        self._evaluate(folder, run)
        return self.found(run)

    def found(self, run: Run) -> dict[str, Any] | None:
        """``metrics.json`` of a run, if it is there."""
        path = self.folder / run.folder / "evaluation" / "metrics.json"
        return json.loads(path.read_text("utf-8")) if path.is_file() else None

    def _train(self, run: Run, folder: Path, manifest: str) -> None:
        effort = self.effort
        shared: dict[str, Any] = {
            "manifest": manifest, "output_dir": str(folder), "models_root": self.models_root, "seed": run.seed,
            **run.changes,
        }  # fmt: skip
        if run.method in OURS:
            from spotdiff_model.config import train_config
            from spotdiff_model.trainer import train

            quiet = {"report_to": "none", "num_validation_images": 0, "cache_dir": str(self.folder / "cache")}
            sizes = {"max_train_steps": effort.steps, "train_batch_size": effort.batch}
            more = {"pose_pictures": self.pose_pictures}
            settings = {**quiet, **sizes, **more, **OURS[run.method], **shared}
            train(train_config(**settings, resume_from_checkpoint="latest"))
            return
        from spotdiff_model.baselines.per_subject import PerSubject
        from spotdiff_model.baselines.registry import baseline_config, method_class
        from spotdiff_model.baselines.training import train_baseline

        fitted = issubclass(method_class(run.method), PerSubject)
        sizes = {"max_train_steps": effort.fit_steps} if fitted else {
            "max_train_steps": effort.steps, "train_batch_size": effort.batch
        }  # fmt: skip
        config = baseline_config(run.method, **{**sizes, **shared})
        if effort.rates:
            config = config.model_copy(update={"learning_rate": self._rate(config, run)})
        train_baseline(config, self.say)

    def _rate(self, config: Any, run: Run) -> float:
        """The searched learning rate: one search a row, shared by its seeds and by the efficiency sweep."""
        from spotdiff_model.baselines.search import searched

        name = f"{run.method}-{config.reference}-{config.unet}-{config.pictures}"
        path = self.folder / "rates" / name
        told = path / "rate.json"
        if not told.is_file():
            trial = config.model_copy(update={"seed": 0, "output_dir": str(path), "manifest": self.manifest})
            rate = searched(trial, self.say, steps=self.effort.search_steps).learning_rate
            told.write_text(json.dumps(rate), "utf-8")
        return float(json.loads(told.read_text("utf-8")))

    def _evaluate(self, folder: Path, run: Run) -> None:
        from spotdiff_model.evaluation.evaluation import evaluate
        from spotdiff_model.evaluation.report.report import write_report
        from spotdiff_model.evaluation.settings import evaluate_config

        first = run.group == "table1" and not any(self.folder.glob("table1/*/*/evaluation/metrics.json"))
        pictures = self.effort.pictures and run.group in ("table1", "scale")
        config = evaluate_config(
            model=str(self.folder / run.trained), output_dir=str(folder / "evaluation"), scale=run.scale,
            manifest=self.manifest, models_root=self.models_root, seeds=1, mlp=first,
            requests=str(self.requests) if pictures else None, generation=pictures, bounds=first,
            save_pictures=run.group == "table1" and run.seed == 0,
        )  # fmt: skip
        write_report(evaluate(config, self.say), config.folder)

    def _cut(self, run: Run) -> str | None:
        """The manifest to train on: for the efficiency sweep, training rows of some values of one factor."""
        if run.factor is None or run.size is None:
            return self.manifest
        out = self.folder / "cut" / f"{run.factor}-{run.size}.parquet"
        if out.is_file():
            return str(out)
        rows = read_rows(self.manifest).of_split("train")
        values, counts = np.unique(getattr(rows, run.factor), return_counts=True)
        if counts.sum() < run.size:
            self.say(f"{run.folder}: left out: the training split has {counts.sum()} pictures")
            return None
        order = np.random.default_rng(0).permutation(len(values))
        kept = order[: int(np.searchsorted(np.cumsum(counts[order]), run.size)) + 1]
        names = ", ".join(f"'{value}'" for value in np.sort(values[kept]))
        out.parent.mkdir(parents=True, exist_ok=True)
        try:
            filter_manifest(self.manifest, str(out), Choice(where=f"{run.factor} in ({names})", split="train"))
        except UserError as error:
            self.say(f"{run.folder}: left out: {error}")
            return None
        return str(out)


def data_of(manifest: str) -> str:
    """Of the manifest, for the tables' heads."""
    opened = Manifest(manifest)
    return f"`{manifest}` (digest `{opened.digest[:16]}`, {opened.rows} pictures)"
