"""What a machine with a GPU should run once: how much of the bare pipelines' speed builds and trainings keep there.

    python benchmarks/gpu.py [--models DIR] [--sources 2] [--out benchmarks/gpu.json]

One command, no network: the models are Stable Diffusion 1.5's in their true sizes, with random weights (shapes.py; some
minutes and 8 GB of disk; ``--models`` keeps them). For each of fp16, bf16 and fp16 with ``torch.compile``, in a process
of its own:

* the build: profile ``sd15`` from rendered sources to the manifest, all gates open (accepting.py), in denoised
  image-steps a second of wall time, beside the same batches through the bare diffusers pipelines;
* training: a step of the encoder with cached features, beside the UNet's forward and backward passes that it contains;
* the device's peak memory in each.

``--profile tiny`` is the rehearsal that runs on a CPU in a minute or two, with the shipped models.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

from accepting import Clock, Timed, accepting
from bare_calls import background_call, subject_call
from rich.console import Console
from rich.table import Table

from pipeline.config import BuildConfig, Profile, build_config, load_profile
from pipeline.manifest.finish import build_manifest
from pipeline.models.device import device
from pipeline.runner.build import open_build
from pipeline.stages.recipe import recipe
from pipeline.stages.rounds import Rounds
from tinyworld.world.export import export

VARIANTS = {"fp16": ("float16", False), "bf16": ("bfloat16", False), "fp16 compiled": ("float16", True)}
_DIFFUSION = ("base", "controlnet", "inpaint")
console = Console()


def main() -> None:
    """Runs each variant in a process of its own and prints their comparison."""
    options = _options()
    if options.one:
        measure(options)
        return
    with tempfile.TemporaryDirectory(prefix="spotdiff-gpu-") as name:
        models = _models(options, Path(name))
        results = {}
        for variant in options.variants:
            console.log(variant)
            out = Path(name) / "one.json"
            command = [sys.executable, __file__, *sys.argv[1:], "--one", variant, "--out", str(out)]
            subprocess.run([*command, *(["--models", str(models)] if models else [])], check=True)
            results[variant] = json.loads(out.read_text("utf-8"))
    _show(results)
    Path(options.out).write_text(json.dumps(results, indent=1) + "\n", "utf-8")


def measure(options: argparse.Namespace) -> None:
    """One variant: the build, the bare pipelines on its batches, the training."""
    with tempfile.TemporaryDirectory(prefix="spotdiff-gpu-one-") as name:
        folder = Path(name)
        profile_path = _profile(options, folder)
        poses = export(folder / "world", options.sources, seed=5_000, size=512)
        config = build_config(
            sources=(str(folder / "world" / "images"),),
            manifest=str(folder / "warm.parquet"),
            work=str(folder / "work"),
            poses=str(poses),
            profile=str(profile_path),
            models_root=options.models and str(options.models),
            subjects=options.subjects,
            backgrounds=options.backgrounds,
        )
        profile = load_profile(config.profile)
        _built(config.model_copy(update={"limit": 1}), profile)  # loads, compiles, warms up
        _reset_peak()
        config = config.model_copy(update={"manifest": str(folder / "built.parquet"), "work": str(folder / "again")})
        wall, clock, generators = _built(config, profile)
        steps, peak = sum(clock.steps.values()), _peak()
        bare = sum(_bare(generator, profile) for generator in generators)
        result: dict[str, Any] = {
            "device": _device_name(),
            "profile": profile.name,
            "build": {"image_steps": steps, "wall": wall, "rate": steps / wall, "peak_bytes": peak},
            "bare": {"wall": bare, "rate": steps / bare},
            "share": bare / wall,
            "seconds": dict(clock.seconds),
            "training": _training(config, folder, options),
        }
    Path(options.out).write_text(json.dumps(result, indent=1) + "\n", "utf-8")


def _built(config: BuildConfig, profile: Profile) -> tuple[float, Clock, list[Timed]]:
    """Seconds of a whole build, its clock, and its generators with their batches."""
    clock = Clock()
    stages = accepting(recipe(profile, config), profile, clock)
    opened = replace(open_build(config), stages=tuple(stages))
    begun = time.perf_counter()
    build_manifest(opened)
    return time.perf_counter() - begun, clock, [stage.generate for stage in stages if isinstance(stage, Rounds)]


def _bare(generator: Timed, profile: Profile) -> float:
    """Seconds of the same batches through the pipeline itself, called as diffusers documents it."""
    import torch

    from pipeline.models.diffusion import background_denoiser, subject_denoiser

    inner = generator.inner
    subjects = hasattr(inner, "controlnet")
    settings = profile.subjects if subjects else profile.backgrounds
    make = subject_denoiser if subjects else background_denoiser
    models = (inner.base, inner.controlnet) if subjects else (inner.inpaint,)
    denoiser = make(*models, inner.scheduler, inner.vae, inner.runtime)
    call = subject_call if subjects else background_call

    def run(rows: Any) -> None:
        generators = [torch.Generator("cpu").manual_seed(number) for number in range(len(rows))]
        with torch.inference_mode():
            call(denoiser.pipe, rows, settings, generators)

    run(generator.batches[0])
    begun = time.perf_counter()
    for rows in generator.batches:
        run(rows)
    _wait()
    return time.perf_counter() - begun


def _training(config: BuildConfig, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """A training step with cached features, and the UNet's part of it alone."""
    import encoder_cache

    from spotdiff_model.config import TrainConfig
    from spotdiff_model.training.setup import prepare

    training = TrainConfig(
        manifest=config.manifest,
        models_root=config.models_root,
        cache_dir=str(folder / "cache"),
        train_batch_size=options.pairs,
        augmentations=1,
    )
    prepared = prepare(training, lambda what, done, of: None)
    prepared.encoder.to(device())
    _reset_peak()
    step = encoder_cache.steps_of(training, prepared, prepared.features, options.training_steps)["wall"]
    peak = _peak()
    unet = _seconds(_unet_pass(prepared, training.noise_batch_size), options.training_steps)
    return {"step": step, "unet": unet, "share": unet / step, "peak_bytes": peak}


def _unet_pass(prepared: Any, count: int) -> Callable[[], None]:
    """The two predictions of a step, the encoder's and the teacher's, and the gradient back to the prompts."""
    import torch

    diffusion = prepared.diffusion
    weight = next(diffusion.unet.parameters())
    side, channels = diffusion.unet.config.sample_size, diffusion.unet.config.in_channels
    latents = torch.randn(count, channels, side, side, device=weight.device, dtype=weight.dtype)
    times = torch.zeros(count, dtype=torch.long, device=weight.device)
    told = diffusion.prompt_conditions(["a person"] * count).to(weight.dtype)

    def run() -> None:
        arguments = told.for_unet(diffusion.size)
        with torch.no_grad():
            diffusion.unet(latents, times, **arguments)
        arguments["encoder_hidden_states"] = told.states.detach().requires_grad_()
        diffusion.unet(latents, times, **arguments).sample.float().square().mean().backward()

    return run


def _seconds(work: Callable[[], None], count: int) -> float:
    work()
    _wait()
    begun = time.perf_counter()
    for _ in range(count):
        work()
    _wait()
    return (time.perf_counter() - begun) / count


def _profile(options: argparse.Namespace, folder: Path) -> Path:
    """The profile with the variant's precision."""
    dtype, compiled = VARIANTS[options.one]
    base = load_profile(options.profile)
    lines = [f'extends = "{options.profile}"', 'name = "gpu"', "[runtime]", f"compile = {str(compiled).lower()}"]
    if options.profile != "tiny":
        for role in _DIFFUSION:
            ref = getattr(base.models, role).model_copy(update={"dtype": dtype, "files": {}})
            fields = ref.model_dump(exclude_none=True, exclude={"files", "batch_size"})
            lines += [f"[models.{role}]", *(f"{name} = {json.dumps(value)}" for name, value in fields.items())]
    path = folder / "gpu.toml"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def _models(options: argparse.Namespace, folder: Path) -> Path | None:
    if options.profile == "tiny":
        return None
    import shapes

    models = options.models or folder / "models"
    if not (models / load_profile(options.profile).models.pose.repo).is_dir():
        shapes.write(models, console.log)
    return Path(models)


def _device_name() -> str:
    import torch

    return torch.cuda.get_device_name() if device().type == "cuda" else "cpu"


def _wait() -> None:
    import torch

    if device().type == "cuda":
        torch.cuda.synchronize()


def _reset_peak() -> None:
    import torch

    if device().type == "cuda":
        torch.cuda.reset_peak_memory_stats()


def _peak() -> int | None:
    """Bytes on the device; None on a CPU."""
    import torch

    return torch.cuda.max_memory_allocated() if device().type == "cuda" else None


def _show(results: dict[str, Any]) -> None:
    table = Table(
        "", "image-steps/s", "of the bare pipelines", "peak GB", "training step s", "UNet's share", "peak GB "
    )
    for variant, one in results.items():
        build, training = one["build"], one["training"]
        peaks = [f"{part['peak_bytes'] / 1e9:.1f}" if part["peak_bytes"] else "-" for part in (build, training)]
        shares = (f"{build['rate']:.1f}", f"{one['share']:.2f}", peaks[0])
        table.add_row(variant, *shares, f"{training['step']:.2f}", f"{training['share']:.2f}", peaks[1])
    console.print(table)
    console.print(f"on {next(iter(results.values()))['device']}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", choices=["sd15", "tiny"], default="sd15")
    parser.add_argument("--models", type=Path, help="keeps the models there, or takes those of an earlier run")
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--sources", type=int, default=2)
    parser.add_argument("--subjects", type=int, default=10)
    parser.add_argument("--backgrounds", type=int, default=10)
    parser.add_argument("--pairs", type=int, default=48, help="in a training step")
    parser.add_argument("--training_steps", type=int, default=10)
    parser.add_argument("--one", choices=list(VARIANTS), help=argparse.SUPPRESS)
    parser.add_argument("--out", default="benchmarks/gpu.json")
    return parser.parse_args()


if __name__ == "__main__":
    main()
