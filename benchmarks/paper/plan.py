"""What is trained for which table: pure data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from spotdiff_model.evaluation.ablations import ABLATIONS
from spotdiff_model.methods import OURS, reads

NATIVE, PAIRED = "same", "other"


@dataclass(frozen=True)
class Effort:
    """How much.

    Attributes:
        steps: Of each training; baselines and ours alike.
        fit_steps: Of methods that are trained on each subject.
        batch: Pictures a step.
        seeds: Of the trainings of each row.
        subjects, backgrounds, poses, edits: What pictures are asked for.
        sizes: Training pictures in the efficiency sweep.
        scales: Strengths of the subject at which trained baselines are judged.
        efficient: Methods of the efficiency sweep.
        denoising: Whether trainings of the efficiency sweep also learn to denoise; without, a step costs a fraction,
            and there are features only.
        ablations: So many of the ablations in table 2; None: all.
        rates: Whether a learning rate is searched for each baseline.
        search_steps: Of each of its trials; None: a third of ``steps``.
        pictures: Whether those are made and judged.
        methods: Of table 1; empty: all.
        rows: Of table 1; empty: all of those methods.
    """

    steps: int = 3000
    fit_steps: int = 200
    batch: int = 32
    seeds: tuple[int, ...] = (0, 1, 2)
    subjects: int = 50
    backgrounds: int = 4
    poses: int = 4
    edits: int = 3
    sizes: tuple[int, ...] = (1000, 3000, 10000, 30000)
    scales: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0, 1.5)
    efficient: tuple[str, ...] = ("ours", "nearid", "ip-adapter", "elite")
    denoising: bool = True
    ablations: int | None = None
    rates: bool = True
    search_steps: int | None = None
    pictures: bool = True
    methods: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()

    @property
    def alike(self) -> dict[str, Any]:
        """What all runs of one table must have in common."""
        shared = (
            "steps", "fit_steps", "batch", "subjects", "backgrounds", "poses", "edits", "rates", "search_steps",
            "denoising",
        )  # fmt: skip
        return {name: getattr(self, name) for name in shared}


FULL = Effort()
SMALL = Effort(
    steps=20, fit_steps=5, batch=8, seeds=(0,), subjects=3, backgrounds=2, poses=1, edits=1, sizes=(50,),
    scales=(0.5, 1.0), efficient=("ours", "nearid"), ablations=2, rates=False,
    methods=("ours", "ours-no-text", "nearid-experts", "nearid", "ip-adapter", "elite", "textual-inversion"),
)  # fmt: skip

_PER_SUBJECT = ("textual-inversion", "dreambooth")
_LEARNING = (
    "nearid", "ip-adapter", "ip-adapter-plus", "elite-global", "elite", "blip-diffusion", "moma", "disenvisioner",
)  # fmt: skip
SCALED = ("ip-adapter", "ip-adapter-plus", "elite", "moma", "disenvisioner")
"""Methods with a strength to choose: IP-Adapter's scale, ELITE's llambda, MoMA's strength, DisEnvisioner's scale."""
_FEATURES_ONLY = {"noise_weight": 0.0, "distillation_weight": 0.0}
FACTORS = ("subject_id", "source_id", "background_id")
"""Varied one at a time: subjects, poses, backgrounds."""


@dataclass(frozen=True)
class Run:
    """One training and its evaluation.

    Attributes:
        group: ``table1``, ``table2``, ``efficiency`` or ``scale``.
        name: Its row.
        method: As ``--method``.
        seed: Of the training.
        changes: Options of the training beside those of the effort.
        factor, size: Of the efficiency sweep: which factor was cut, to about so many pictures; None: none was.
        scale: Strength at which a training of table 1 is judged once more; None: as it was trained.
    """

    group: str
    name: str
    method: str
    seed: int
    changes: dict[str, Any] = field(default_factory=dict)
    factor: str | None = None
    size: int | None = None
    scale: float | None = None

    @property
    def row(self) -> str:
        """What tables call it."""
        return f"{self.name}, fewer {self.factor.removesuffix('_id')}s: {self.size}" if self.factor else self.name

    @property
    def folder(self) -> str:
        """Where it lies below the output folder."""
        if self.scale is not None:
            return f"{self.group}/{self.name}/{self.scale:g}"
        cut = f"{self.factor}-{self.size}/" if self.factor else ""
        return f"{self.group}/{cut}{self.name}/seed-{self.seed}"

    @property
    def trained(self) -> str:
        """Where its training lies."""
        return f"table1/{self.name}/seed-{self.seed}" if self.scale is not None else self.folder

    @property
    def reads(self) -> tuple[str, ...]:
        """What its training reads beside pictures."""
        from spotdiff_model.baselines.registry import method_class

        if self.method in OURS:
            return reads(self.method)
        return method_class(self.method).reads


def runs(effort: Effort) -> Iterator[Run]:
    """All of them, table by table, cheap ones first."""
    for seed in effort.seeds:
        yield from _table1(effort, seed)
    for seed in effort.seeds:
        for ablation in ABLATIONS[: effort.ablations]:
            yield Run("table2", ablation.name, "ours", seed, dict(ablation.changes))
    for seed in effort.seeds:
        yield from _efficiency(effort, seed)
    for run in _table1(effort, 0):
        if run.method in SCALED and run.changes == {"reference": PAIRED, "unet": "frozen"}:
            for scale in effort.scales:
                yield replace(run, group="scale", scale=scale)


def _efficiency(effort: Effort, seed: int) -> Iterator[Run]:
    changes = {} if effort.denoising else dict(_FEATURES_ONLY)
    for method in effort.efficient:
        yield Run("efficiency", method, method, seed, changes)
    for factor in FACTORS:
        for size in effort.sizes:
            for method in effort.efficient:
                yield Run("efficiency", method, method, seed, changes, factor, size)


def _table1(effort: Effort, seed: int) -> Iterator[Run]:
    return (run for run in _methods(effort, seed) if not effort.rows or run.name in effort.rows)


def _methods(effort: Effort, seed: int) -> Iterator[Run]:
    wanted = effort.methods or (*OURS, *_LEARNING, *_PER_SUBJECT)
    for method in wanted:
        if method in OURS:
            yield Run("table1", method, method, seed)
        elif method in _PER_SUBJECT:
            for pictures in (1, 4):
                yield Run("table1", f"{method}-{pictures}", method, seed, {"pictures": pictures})
        else:
            for data, said in ((NATIVE, "native"), (PAIRED, "paired")):
                for unet in ("frozen", "kv") if not effort.methods else ("frozen",):
                    changes = {"reference": data, "unet": unet}
                    yield Run("table1", f"{method}-{said}-{unet}", method, seed, changes)
