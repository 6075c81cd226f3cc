"""How much of the bare pipelines' speed a whole build keeps, and how it compares with a plain script.

    python benchmarks/build.py [--sources 4] [--workers N] [--out benchmarks/build.json]

Three runs over the same images:

* the build: sources to manifest, counted in denoised image-steps per second of wall time, misses included;
* the bare pipelines: the build's own batches again, through diffusers pipelines called as their documentation does,
  in the same process with the same number of threads, and nothing else;
* the plain script (benchmarks/plain_script.py): one image at a time, stages in a loop, torch's default threads.

Models are loaded and warm before each clock starts. Beside wall time stands CPU time, which says the same on a machine
that is busy with other things.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: see torch_threads in the profile

from bare_calls import Rows, background_call, subject_call
from rich.console import Console
from rich.table import Table

from flows.engines.threads import ThreadEngine
from flows.engines.workers import default_workers
from pipeline.config import BuildConfig, build_config, load_profile
from pipeline.manifest.finish import build_manifest
from pipeline.models.resolve import Model
from pipeline.runner.build import open_build
from pipeline.stages.rounds import Rounds
from tinyworld.world.export import export


@dataclass(frozen=True)
class Recorded:
    """A generator that notes its batches."""

    generate: Any
    batches: list[Rows] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.generate, name)

    def denoise(self, rows: Rows) -> Any:
        self.batches.append(rows)
        return self.generate.denoise(rows)


@dataclass
class Clock:
    """Seconds of one run, and what it denoised."""

    wall: float = 0.0
    cpu: float = 0.0
    steps: int = 0

    @property
    def rate(self) -> float:
        """Image-steps per second."""
        return self.steps / self.wall

    @contextmanager
    def running(self) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.wall += time.perf_counter() - wall
        self.cpu += time.process_time() - cpu


def main() -> None:
    """Runs the three and prints their comparison."""
    options = _options()
    console = Console()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        poses = export(folder / "world", options.sources, seed=options.seed, size=256)
        config = build_config(
            sources=(str(folder / "world" / "images"),),
            manifest=str(folder / "built.parquet"),
            work=str(folder / "work"),
            poses=str(poses),
            profile=options.profile,
            models_root=options.models_root,
            subjects=options.subjects,
            backgrounds=options.backgrounds,
            shard_size=1,
        )
        workers = options.workers or default_workers(load_profile(options.profile).torch_threads)
        console.log(f"building {options.sources} sources with {workers} threads")
        subjects, variations, built, made = build(config, workers)
        console.log(f"{made} variations; the bare pipelines on the same batches")
        bare = bare_pipelines(config, subjects, variations, workers)
        script = None
        if not options.no_script:
            console.log("the plain script on the same images")
            script = plain_script(folder, config, subjects, variations)
    result = {
        "sources": options.sources,
        "workers": workers,
        "variations": made,
        "images": sum(map(len, subjects.batches)) + sum(map(len, variations.batches)),
        "build": vars(built) | {"rate": built.rate},
        "bare": vars(bare) | {"rate": bare.rate},
        "share": built.rate / bare.rate,
        "share_cpu": bare.cpu / built.cpu,
    }
    if script:
        result |= {"script": vars(script) | {"rate": script.rate}, "speedup": script.wall / built.wall}
    _show(console, result)
    if options.out:
        Path(options.out).write_text(json.dumps(result, indent=2) + "\n", "utf-8")


def build(config: BuildConfig, workers: int) -> tuple[Recorded, Recorded, Clock, int]:
    """A build from nothing; its recorded generators, its time and its number of variations."""
    warm = {"manifest": config.manifest.replace("built", "warm"), "subjects": 2, "backgrounds": 2, "limit": workers}
    first = build_config(**config.model_dump() | warm)
    build_manifest(open_build(first), ThreadEngine(workers))
    opened = open_build(config)
    recorded = [Recorded(stage.generate) for stage in opened.stages if isinstance(stage, Rounds)]
    stages = [_with(stage, recorded) for stage in opened.stages]
    clock = Clock()
    with clock.running():
        outcome = build_manifest(replace(opened, stages=stages), ThreadEngine(workers))
    subjects, variations = recorded
    if not variations.batches:
        raise SystemExit("no subject was accepted, so there is nothing to compare; see the profile's [quality]")
    clock.steps = _steps(subjects, opened.profile.subjects) + _steps(variations, opened.profile.backgrounds)
    return subjects, variations, clock, outcome.rows


def bare_pipelines(config: BuildConfig, subjects: Recorded, variations: Recorded, workers: int) -> Clock:
    """The same batches through plain pipelines, one object per thread over shared networks."""
    import torch
    from plain_script import load_inpaint, load_subjects

    profile = load_profile(config.profile)
    folders = _folders(config)
    pipes = [
        (load_subjects(folders, profile.scheduler.name, profile.scheduler.options), subjects, subject_call),
        (load_inpaint(folders, profile.scheduler.name, profile.scheduler.options), variations, background_call),
    ]
    clock = Clock()
    for pipe, recorded, call in pipes:
        settings = profile.subjects if recorded is subjects else profile.backgrounds
        idle = [_copy(pipe) for _ in range(workers)]

        def run(rows: Rows, idle: list[Any] = idle, call: Any = call, settings: Any = settings) -> None:
            own = idle.pop()
            seeds = [_seed(row) for row in rows]
            generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
            call(own, rows, settings, generators)
            idle.append(own)

        run(recorded.batches[0])
        with ThreadPoolExecutor(workers) as pool, clock.running():
            list(pool.map(run, recorded.batches))
        clock.steps += _steps(recorded, settings)
    return clock


def plain_script(folder: Path, config: BuildConfig, subjects: Recorded, variations: Recorded) -> Clock:
    """The script in a process of its own, with torch's default threads."""
    profile = load_profile(config.profile)
    (folder / "script").mkdir()
    for rows in subjects.batches:
        (folder / "script" / f"{rows[0].source_id}.png").write_bytes(rows[0].control)
    job = {
        "out": str(folder / "script"),
        "folders": _folders(config),
        "profile": profile.model_dump(),
        "models_root": config.models_root,
        "subjects": [_subject_job(row) for rows in subjects.batches for row in rows],
        "variations": [_variation_job(row) for rows in variations.batches for row in rows],
    }
    (folder / "job.json").write_text(json.dumps(job), "utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    command = [sys.executable, str(Path(__file__).with_name("plain_script.py")), str(folder / "job.json")]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    wall, cpu = json.loads(done.stdout.splitlines()[-1])
    return Clock(wall, cpu, _steps(subjects, profile.subjects) + _steps(variations, profile.backgrounds))


def _subject_job(row: Any) -> dict[str, Any]:
    return {
        "source": row.source_id,
        "subject": row.subject_id,
        "prompt": row.subject_prompt,
        "negative_prompt": row.subject_negative_prompt,
        "keypoints": row.keypoints,
        "seed": _seed(row),
    }


def _variation_job(row: Any) -> dict[str, Any]:
    return {
        "source": row.source_id,
        "subject": row.subject_id,
        "background": row.background_id,
        "background_prompt": row.background_prompt,
        "prompt": row.prompt,
        "negative_prompt": row.negative_prompt,
        "seed": _seed(row),
    }


def _seed(row: Any) -> int:
    return int.from_bytes(str(row).encode()[-6:], "big") + getattr(row, row.ATTEMPT)


def _steps(recorded: Recorded, settings: Any) -> int:
    return sum(map(len, recorded.batches)) * settings.num_inference_steps


def _with(stage: Any, recorded: list[Recorded]) -> Any:
    mine = [one for one in recorded if isinstance(stage, Rounds) and one.generate is stage.generate]
    return replace(stage, generate=mine[0]) if mine else stage


def _copy(pipe: Any) -> Any:
    own = {
        "scheduler": type(pipe.scheduler).from_config(pipe.scheduler.config),
        "tokenizer": copy.deepcopy(pipe.tokenizer),
    }
    made = type(pipe)(**{**pipe.components, **own}, requires_safety_checker=False)
    made.set_progress_bar_config(disable=True)
    return made


def _folders(config: BuildConfig) -> dict[str, str]:
    models = load_profile(config.profile).models
    root = config.models_root
    return {
        "base": str(Model(models.base, root).pipeline_dir()),
        "controlnet": str(Model(models.controlnet, root).network_dir()),
        "inpaint": str(Model(models.inpaint, root).pipeline_dir()),
        "clip": str(Model(models.clip, root).network_dir()),
    }


def _show(console: Console, result: dict[str, Any]) -> None:
    table = Table("", "wall s", "CPU s", "image-steps/s", "of the bare pipelines")
    for name in ("bare", "build", "script"):
        if name in result:
            run = result[name]
            share = run["rate"] / result["bare"]["rate"]
            table.add_row(name, f"{run['wall']:.1f}", f"{run['cpu']:.1f}", f"{run['rate']:.1f}", f"{share:.2f}")
    console.print(table)
    console.print(f"share by CPU time: {result['share_cpu']:.2f}")
    if "speedup" in result:
        console.print(f"the build is {result['speedup']:.1f} times as fast as the plain script")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", type=int, default=4, help="rendered sources to build from")
    parser.add_argument("--subjects", type=int, default=10)
    parser.add_argument("--backgrounds", type=int, default=10)
    parser.add_argument("--workers", type=int, help="worker threads; default: as many as a build takes")
    parser.add_argument("--profile", default="tiny")
    parser.add_argument("--models-root")
    parser.add_argument("--seed", type=int, default=5_000, help="of the rendered sources")
    parser.add_argument("--no-script", action="store_true", help="leave the plain script out (it takes longest)")
    parser.add_argument("--out", help="JSON file to write")
    return parser.parse_args()


if __name__ == "__main__":
    main()
