"""A whole build with models of Stable Diffusion 1.5's true sizes and random weights; what cached features are worth.

    python benchmarks/sd15_shapes.py [--models DIR] [--steps 1] [--backgrounds 2] [--out benchmarks/sd15_shapes.json]

* The build: profile ``sd15`` out of a folder in hub layout, 512 px, from a rendered picture to the manifest, with time
  and peak memory by stage. Gates are measured and then ignored: the models have learned nothing.
* Training steps of the encoder with CLIP ViT-L/14, cached against encoded again in each step (encoder_cache.py), on a
  dataset of the miniature world, whose small UNet takes part in both; so the figure is about the tower.

On a CPU everything runs in float32. Minutes to an hour; needs 19 GB of memory, and 8 GB of disk unless ``--models``
names a folder of an earlier run.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count() or 1))  # one build at a time, large networks
os.environ["HF_HUB_OFFLINE"] = "1"

import shapes
from accepting import Clock, accepting
from rich.console import Console
from rich.table import Table

from pipeline.config import ModelRef, Profile, build_config, load_profile
from pipeline.manifest.finish import build_manifest
from pipeline.manifest.validate.manifest import validate
from pipeline.runner.build import open_build
from pipeline.stages.recipe import recipe
from tinyworld.world.export import export

console = Console()


def main() -> None:
    """Measures and prints."""
    options = _options()
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="spotdiff-shapes-") as name:
        folder = Path(name)
        with _models(options, folder) as models:
            if "build" in options.only:
                result["build"] = build(options, folder, models)
            if "cache" in options.only:
                result["cache"] = cache(options, folder, models)
    Path(options.out).write_text(json.dumps(result, indent=1) + "\n", "utf-8")


@contextmanager
def _models(options: argparse.Namespace, folder: Path) -> Iterator[Path]:
    models = options.models or folder / "models"
    if not (models / load_profile("sd15").models.pose.repo).is_dir():
        begun = time.perf_counter()
        shapes.write(models, console.log)
        console.log(f"models written in {time.perf_counter() - begun:.0f} s")
    yield models


def build(options: argparse.Namespace, folder: Path, models: Path) -> dict[str, Any]:
    """One source, some subjects and backgrounds."""
    poses = export(folder / "world", 1, seed=options.seed, size=512)
    profile = folder / "shapes.toml"
    steps = f"num_inference_steps = {options.steps}\n"
    profile.write_text(f'extends = "sd15"\nname = "shapes"\n[subjects]\n{steps}[backgrounds]\n{steps}', "utf-8")
    config = build_config(
        sources=(str(folder / "world" / "images"),),
        manifest=str(folder / "built.parquet"),
        work=str(folder / "work"),
        poses=str(poses),
        profile=str(profile),
        models_root=str(models),
        subjects=options.subjects,
        backgrounds=options.backgrounds,
    )
    loaded, clock = load_profile(config.profile), Clock()
    begun = time.perf_counter()
    opened = open_build(config)
    opened = replace(opened, stages=tuple(accepting(recipe(loaded, config), loaded, clock)))
    with clock.watching():
        outcome = build_manifest(opened)
    wall = time.perf_counter() - begun
    problems = [str(problem) for problem in validate(outcome.manifest)]
    table = Table("stage", "s", "peak memory, GB")
    for stage, seconds in clock.seconds.items():
        table.add_row(stage, f"{seconds:.1f}", f"{clock.peaks[stage] / 1e9:.1f}")
    console.print(table)
    console.print(
        f"{outcome.rows} variations in {wall:.0f} s; {len(problems)} problems found by validate: {problems[:3]}"
    )
    return {"seconds": clock.seconds, "peaks": clock.peaks, "wall": wall, "rows": outcome.rows, "problems": problems}


def cache(options: argparse.Namespace, folder: Path, models: Path) -> dict[str, Any]:
    """Training steps with ViT-L/14, on a small dataset of the miniature world."""
    import encoder_cache

    tower = load_profile("sd15").models.clip
    profile = _with_tower(load_profile("tiny"), tower)
    (folder / "tower.toml").write_text(_toml(tower), "utf-8")
    poses = export(folder / "small", 2, seed=options.seed, size=64)
    config = build_config(
        sources=(str(folder / "small" / "images"),),
        manifest=str(folder / "small.parquet"),
        work=str(folder / "work"),
        poses=str(poses),
        profile=str(folder / "tower.toml"),
        models_root=str(models),
        subjects=3,
        backgrounds=2,
    )
    clock = Clock()
    opened = open_build(config)
    opened = replace(opened, stages=tuple(accepting(recipe(profile, config), profile, clock)))
    rows = build_manifest(opened).rows
    console.log(f"a dataset of {rows} variations; now training steps")
    result = encoder_cache.compare(
        steps=options.training_steps,
        manifest=config.manifest,
        models_root=str(models),
        cache_dir=str(folder / "cache"),
        train_batch_size=options.pairs,
        augmentations=1,
    )
    console.print(json.dumps(result, indent=1))
    return result


def _with_tower(profile: Profile, tower: ModelRef) -> Profile:
    return profile.model_copy(update={"models": profile.models.model_copy(update={"clip": tower})})


def _toml(tower: ModelRef) -> str:
    return (
        f'extends = "tiny"\nname = "tower"\n[models]\nclip = {{ repo = "{tower.repo}", revision = "{tower.revision}", '
        f'dtype = "float32", license = "{tower.license}" }}\n'
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, help="keeps the models there, or takes those of an earlier run")
    parser.add_argument("--steps", type=int, default=1, help="denoising steps of both pipelines")
    parser.add_argument("--subjects", type=int, default=1)
    parser.add_argument("--backgrounds", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=8, help="in a training step")
    parser.add_argument("--training_steps", type=int, default=4, help="of each kind, in turn")
    parser.add_argument("--seed", type=int, default=5_000, help="of the rendered sources")
    parser.add_argument("--only", nargs="+", choices=["build", "cache"], default=["build", "cache"])
    parser.add_argument("--out", default="benchmarks/sd15_shapes.json")
    return parser.parse_args()


if __name__ == "__main__":
    main()
