"""What the pipeline itself costs at size: stages that do next to nothing, so that ledger, runner and manifest are left.

    python benchmarks/scale.py [--sources 10000] [--subjects 1] [--backgrounds 1] [--shard-size 2] [--phases build ...]

Each phase runs in a process of its own: ``build`` all of it, in one thread, or with ``--engine ray`` on all cores under
Prefect, whose costs count, too; ``finished``, the same command again, as ``spotdiff build`` answers it; ``status``, as
the command does it; ``validate`` the manifest. Prints CPU and wall time, per row and per fragment, and peak memory; the
time that Python takes to start is in none of them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from rich.console import Console
from rich.table import Table

from pipeline import ids, process
from pipeline.config import build_config
from pipeline.imaging.png import to_png
from pipeline.manifest.finish import build_manifest, finish, written
from pipeline.manifest.validate.manifest import validate
from pipeline.records import Listed, Row, Source
from pipeline.runner import events
from pipeline.runner.build import Build, last_config, open_build
from pipeline.stages.base import Stage

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "pipeline"))
from on_ray import FirstShard, below, build_on_ray, on_ray
from toy_stages import SIZE, ToyPoses, ToySubjects, ToyVariations, picture

PICTURE = to_png(picture("source"))
PHASES = ("build", "finished", "status", "validate")


@dataclass(frozen=True)
class NullSources:
    name: ClassVar[str] = "sources"
    version: ClassVar[int] = 1
    row: ClassVar[type[Row]] = Source

    def settings(self) -> dict[str, Any]:
        return {}

    def expand(self, rows: Sequence[Listed]) -> list[Source]:
        return [row.grow(Source, source_id=ids.source_id(row.path)) for row in rows]

    def process(self, rows: Sequence[Source]) -> Iterator[Source]:
        for row in rows:
            name = hashlib.sha256(row.path.encode()).hexdigest()
            yield row.grow(
                Source,
                source_image=PICTURE,
                frame=[0.0, 0.0, float(SIZE)],
                source_width=SIZE,
                source_height=SIZE,
                source_phash=name[-16:],
            )


def stages(subjects: int, backgrounds: int) -> list[Stage]:
    """A build's stages, that need no files' contents and keep nothing in memory."""
    calls: deque[str] = deque(maxlen=0)
    return [NullSources(), ToyPoses(), ToySubjects(subjects, calls=calls), ToyVariations(backgrounds, calls=calls)]


def main() -> int:
    arguments = _arguments()
    if arguments.phase:
        _phase(arguments.phase, arguments)
        return 0
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="spotdiff-scale-"))
    try:
        (folder / "in").mkdir(parents=True, exist_ok=True)
        for number in range(arguments.sources):
            path = folder / "in" / f"{number:06d}.png"
            if not path.exists():  # of a folder that was left; another time would make it another file
                path.touch()
        _report(arguments, folder)
    finally:
        if not arguments.folder:
            shutil.rmtree(folder, ignore_errors=True)
    return 0


def _report(arguments: argparse.Namespace, folder: Path) -> None:
    rows = arguments.sources * arguments.subjects * arguments.backgrounds
    fragments = 4 * -(-arguments.sources // arguments.shard_size)
    console = Console(width=120)
    console.print(f"{rows} rows of {arguments.sources} sources, {fragments} fragments")
    table = Table(box=None, pad_edge=False)
    for name in ("phase", "wall s", "CPU s", "CPU ms a row", "CPU ms a fragment", "peak MB", ""):
        table.add_column(name, justify="right" if name else "left")
    for phase in arguments.phases:
        command = [sys.executable, __file__, "--phase", phase, "--folder", str(folder)]
        for name in ("sources", "subjects", "backgrounds", "shard_size", "engine"):
            command += [f"--{name.replace('_', '-')}", str(getattr(arguments, name))]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        told = json.loads(done.stdout.splitlines()[-1])
        numbers = (told["wall"], told["cpu"], told["cpu"] / rows * 1000, told["cpu"] / fragments * 1000, told["peak"])
        table.add_row(phase, *(f"{number:.2f}" for number in numbers), told["said"])
    console.print(table)


def _open(arguments: argparse.Namespace, *, again: bool = False) -> Build:
    """The build, listing and all; ``again``: from what it was last told, as ``status`` does it."""
    folder = arguments.folder
    manifest, work = str(folder / "out" / "m.parquet"), str(folder / "work")
    sizes = {"subjects": arguments.subjects, "backgrounds": arguments.backgrounds, "shard_size": arguments.shard_size}
    config = build_config(sources=(str(folder / "in"),), manifest=manifest, work=work, **sizes)
    if again:
        config = last_config(manifest, work)
    return open_build(config, stages(config.subjects, config.backgrounds))


def _phase(phase: str, arguments: argparse.Namespace) -> None:
    wall, before = time.monotonic(), time.process_time()
    cpu_below = peak_below = 0.0
    if phase == "build" and arguments.engine == "ray":
        said, cpu_below, peak_below = _build_on_ray(_open(arguments))
    elif phase == "build":
        said = f"digest {build_manifest(_open(arguments)).digest[:8]}"
    elif phase == "validate":
        said = f"{len(validate(str(arguments.folder / 'out' / 'm.parquet')))} problems"
    else:
        build = _open(arguments, again=phase == "status")
        found = build.scan()
        assert build.complete(found)
        if phase == "status":
            found.counts()
            assert written(build, found)
            said = "all there"
        else:
            said = f"{finish(build, found).rows} rows"
    told = {
        "wall": time.monotonic() - wall,
        "cpu": time.process_time() - before + cpu_below,
        "peak": max(peak_below, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "said": said,
    }
    sys.stdout.write(json.dumps(told) + "\n")


def _build_on_ray(build: Build) -> tuple[str, float, float]:
    """What to say of it, and CPU seconds and largest peak of all the other processes that it took, Prefect's too."""
    first = FirstShard()
    folder = Path(tempfile.mkdtemp(prefix="r"))
    try:
        with on_ray(folder, process.cores()) as started, events.listening(first):
            digest = build_on_ray(build)
            return f"digest {digest[:8]}, first shard after {first.told(started)}", *below()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("sources", 10_000), ("subjects", 1), ("backgrounds", 1), ("shard-size", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--engine", choices=("none", "ray"), default="none", help="Of the phase build.")
    parser.add_argument("--folder", type=Path, help="Work here, and leave all of it there.")
    parser.add_argument("--phases", nargs="+", choices=PHASES, default=PHASES)
    parser.add_argument("--phase", choices=PHASES, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
