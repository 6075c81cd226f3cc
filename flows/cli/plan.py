"""``spotdiff plan`` and ``spotdiff bench``: what a build will take, and how fast this machine is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from flows.cli.console import err, out
from flows.engines.workers import default_workers
from pipeline.config import BuildConfig, Profile, UserError, load_profile
from pipeline.inputs.listing import list_sources
from pipeline.manifest.rates import rates_of
from pipeline.runner.estimate import Estimate, Rates, estimate
from pipeline.runner.speeds import Speeds, measured, published, save


@dataclass(frozen=True)
class Machines:
    """What a build is to run on.

    Attributes:
        gpu: By name; None: ``speeds`` says it.
        gpus: How many.
        price: Of a GPU and hour, in any currency.
        speeds: A file of ``spotdiff bench``.
    """

    gpu: str | None
    gpus: int
    price: float | None
    speeds: Path | None


def plan(config: BuildConfig, machines: Machines, accept: tuple[float | None, float | None], like: str | None) -> None:
    """Prints pictures, steps, time, bytes and cost.

    Raises:
        UserError: No sources, or no speeds for the profile's models.
    """
    profile = load_profile(config.profile)
    speeds = _speeds(profile, machines)
    rates = _rates(profile, accept, like)
    sources = len(list_sources(config.sources, config.limit, config.poses))
    _show(estimate(profile, config, sources, speeds, rates), profile, speeds, rates, machines)


def run_bench(profile_name: str, models_root: str | None, seconds: float, workers: int | None, to: str | None) -> None:
    """Measures, prints, and writes what ``spotdiff plan --speeds`` reads."""
    profile = load_profile(profile_name)
    os.environ.setdefault("OMP_NUM_THREADS", str(profile.torch_threads))
    from pipeline.runner.bench import bench

    config = BuildConfig(sources=(), profile=profile_name, models_root=models_root)
    with err.status("Measuring ..."):
        speeds = bench(profile, config, workers or default_workers(profile.torch_threads), seconds, _say)
    table = Table(box=None)
    for name in ("stage", "image-steps/s", "pictures judged/s"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    for name in ("subjects", "backgrounds"):
        one = getattr(speeds, name)
        table.add_row(name, f"{one.steps_per_s:.1f}", f"{one.judges_per_s['all']:.1f}")
    out.print(table)
    out.print(f"{speeds.gpu}, {profile.sources.size} px, {speeds.conditions}")
    if to:
        save(speeds, to)
        out.print(f"Written; `spotdiff plan SOURCES --profile {profile_name} --speeds {to}` reads it")


def _speeds(profile: Profile, machines: Machines) -> Speeds:
    if machines.speeds:
        return measured(machines.speeds, profile)
    if machines.gpu:
        return published(profile, machines.gpu)
    raise UserError("plan: on what machine? --gpu a100 takes published speeds, --speeds FILE those of `spotdiff bench`")


def _rates(profile: Profile, accept: tuple[float | None, float | None], like: str | None) -> Rates:
    rates = rates_of(like, profile) if like else Rates()
    subjects, variations = accept
    if subjects is None and variations is None:
        return rates
    return Rates(
        rates.sources, subjects or rates.subjects, variations or rates.variations, f"told, else {rates.origin}"
    )


def _show(made: Estimate, profile: Profile, speeds: Speeds, rates: Rates, machines: Machines) -> None:
    hours = made.device_s / 3600
    device = "machine" if speeds.gpu == "cpu" else "GPU"
    lines = {
        "sources": f"{made.sources:,}",
        "accepted": f"{made.variations:,.0f} variations of {made.subjects:,.0f} subjects",
        "to generate": f"{made.generated:,.0f} pictures, {made.image_steps:,.0f} image-steps",
        f"{device} time": f"{_time(made.device_s)}: {_time(made.denoising_s)} denoise, {_time(made.judging_s)} judge",
        "wall time": f"{_time(made.device_s / machines.gpus)} on {machines.gpus} x {speeds.gpu}",
        "CPU beside it": f"{_time(made.cpu_s)} of one core",
        "disk": f"{made.bytes / 1e9:,.1f} GB, half of it the manifest",
    }
    if not made.cpu_s:
        del lines["CPU beside it"]
    if machines.price is not None:
        lines["cost"] = f"{hours * machines.price:,.2f} at {machines.price:g} an hour"
    for name, text in lines.items():
        out.print(f"  {name:15}{text}", markup=False)
    out.print(
        f"Acceptance, {rates.origin}: {rates.sources:.0%} of the sources; of single attempts {rates.subjects:.0%} for "
        f"subjects (up to {profile.subjects.max_attempts}), {rates.variations:.0%} for variations (up to "
        f"{profile.backgrounds.max_attempts}). Loading models is not in it.",
        markup=False,
    )
    out.print(f"Speeds: {speeds.source}{f' ({speeds.conditions})' if speeds.conditions else ''}", markup=False)


def _time(seconds: float) -> str:
    return f"{seconds / 3600:,.1f} h" if seconds >= 3600 else f"{seconds / 60:,.1f} min"


def _say(line: str) -> None:
    err.print(line, markup=False)
