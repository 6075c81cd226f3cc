"""The part of the preflight that is about models: files, prompts, device, memory. Loads no weights."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from typing import Any

from pipeline import banks
from pipeline.config import Profile, UserError
from pipeline.models.ready import check_files
from pipeline.models.resolve import Model
from pipeline.models.tokens import check_lengths
from pipeline.runner.build import Build
from pipeline.runner.fragments import Fragments
from pipeline.stages.base import joined

logger = logging.getLogger(__name__)

WORKING_MEMORY = 2e9
"""Bytes that a batch at hand is given besides the weights; a batch that needs more is halved."""


def check_models(build: Build, found: Fragments, here: bool = True) -> None:
    """Checks all that can be known of the models before one is loaded.

    Args:
        build: About to be run.
        found: What of it is done already.
        here: Whether it is to be run on this machine.

    Raises:
        UserError: Names the model, prompt or option that is wrong, and the remedy.
    """
    profile = build.profile
    models = dict(_used(build))
    bytes_ = {role: check_files(role, model) for role, model in models.items()}
    check_lengths(models["base"], _subject_prompts(profile))
    check_lengths(models["inpaint"], _background_prompts(profile))
    if profile.runtime.device == "gpu" and here:
        _check_device(build, found, models)
        _check_memory(profile, models, bytes_)


def _used(build: Build) -> Iterator[tuple[str, Model]]:
    """The models of a build by role; with poses from a file the extractor may be missing."""
    for role, ref in build.profile.models.roles():
        if not (build.config.poses and role.startswith("extractor")):
            yield role, Model(ref, build.config.models_root)


def _subject_prompts(profile: Profile) -> Iterator[tuple[str, str]]:
    for entry in banks.load(profile.subject_bank).entries:
        what = f"bank {profile.subject_bank}: {entry.id}"
        yield what, profile.subjects.prompt_template.format(subject=entry.prompt)
        yield f"{what}, negative prompt", joined(entry.negative_prompt, profile.subjects.negative_prompt)


def _background_prompts(profile: Profile) -> Iterator[tuple[str, str]]:
    """Each background with the longest subject (in letters) of its split; the others are shorter."""
    template, settings = profile.backgrounds.prompt_template, profile.backgrounds
    longest: dict[str, str] = {}
    if "{subject}" in template:
        for entry in banks.load(profile.subject_bank).entries:
            longest[entry.split] = max(longest.get(entry.split, ""), entry.prompt, key=len)
    for entry in banks.load(profile.background_bank).entries:
        what = f"bank {profile.background_bank}: {entry.id}"
        yield what, template.format(subject=longest.get(entry.split, ""), background=entry.prompt)
        yield f"{what}, negative prompt", joined(entry.negative_prompt, settings.negative_prompt)


def _check_device(build: Build, found: Fragments, models: dict[str, Model]) -> None:
    import torch

    if torch.cuda.is_available():
        return
    from pipeline.models.estimate import cpu_seconds

    profile, config = build.profile, build.config
    torch.set_num_threads(profile.torch_threads)
    sources = sum(
        len(shard.rows)
        for shard, chain in zip(build.shards, found.chains, strict=True)
        if len(chain) < len(build.stages)
    )
    subjects = sources * config.subjects
    seconds = sum(
        rows * settings.num_inference_steps * (2 if settings.guidance_scale > 1 else 1) * cpu_seconds(model, side)
        for rows, settings, model, side in (
            (subjects, profile.subjects, models["base"], profile.sources.size),
            (subjects * config.backgrounds, profile.backgrounds, models["inpaint"], profile.sources.size),
        )
    )
    said = (
        f"profile {profile.name} is made for GPUs and torch finds none: on this CPU denoising alone would take "
        f"about {_duration(seconds)} for {subjects * (1 + config.backgrounds)} pictures"
    )
    if not config.allow_cpu:
        raise UserError(f"{said}; take a machine with a GPU, --profile photos, or say --allow-cpu")
    logger.warning("%s", said)


def _check_memory(profile: Profile, models: dict[str, Model], bytes_: dict[str, int]) -> None:
    """Compares the weights, in the precision they run in, with the memory of the device."""
    import torch

    on_gpu = torch.cuda.is_available()
    there = torch.cuda.get_device_properties(0).total_memory if on_gpu else _main_memory()
    weights = {role: size * _growth(models[role], on_gpu) for role, size in bytes_.items()}
    subjects = weights.pop("base") + weights.pop("controlnet")
    backgrounds = weights.pop("inpaint")
    both = max(subjects, backgrounds) if on_gpu and profile.runtime.resident == "one" else subjects + backgrounds
    needed = both + sum(weights.values()) + WORKING_MEMORY
    if needed > there:
        remedy = (
            'set runtime.resident = "one" in the profile, or take a larger GPU'
            if profile.runtime.resident == "all" and on_gpu
            else "take a larger machine, or smaller models"
        )
        where = "the GPU" if on_gpu else "this machine"
        raise UserError(
            f"profile {profile.name}: its models want about {needed / 1e9:.1f} GB, and {where} has "
            f"{there / 1e9:.1f} GB; {remedy}"
        )


def _growth(model: Model, on_gpu: bool) -> float:
    """How much larger the weights are in memory than in their files: half precision is float32 on a CPU."""
    files_half = model.ref.variant == "fp16"
    runs_half = on_gpu and model.ref.dtype != "float32"
    return (0.5 if runs_half else 1.0) / (0.5 if files_half else 1.0)


def _main_memory() -> float:
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (ValueError, OSError, AttributeError):  # not every system tells
        return float("inf")


def _duration(seconds: float) -> str:
    steps: list[tuple[str, Any]] = [("minutes", 60), ("hours", 3600), ("days", 86400), ("years", 365 * 86400)]
    name, length = next((step for step in reversed(steps) if seconds >= step[1]), steps[0])
    return f"{seconds / length:.3g} {name}"
