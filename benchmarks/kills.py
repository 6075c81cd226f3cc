"""Kills a build at random moments and resumes it: does the same manifest come out, and is nothing done twice?

    python benchmarks/kills.py [--sources 3] [--subjects 4] [--backgrounds 4] [--kills 10] [--seed 0]

Builds of the same sources: a calm one; a calm one with another ``--shard-size``; and as many as it takes that are
killed with SIGKILL, process group and all, at random moments. Prints a line per kill and what held; exits with 1 if
anything did not.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from pipeline.manifest.read import Manifest
from tinyworld.world.export import export

Stamp = tuple[int, int]


def main() -> int:
    arguments = _arguments()
    console = Console(soft_wrap=True)
    folder = Path(tempfile.mkdtemp(prefix="spotdiff-kills-"))
    try:
        return _series(arguments, folder, console)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _series(arguments: argparse.Namespace, folder: Path, console: Console) -> int:
    export(folder / "world", arguments.sources, seed=arguments.seed + 500)
    begun = time.monotonic()
    _finish(_start(arguments, folder, "calm", shard_size=4))
    calm = time.monotonic() - begun
    _finish(_start(arguments, folder, "sharded", shard_size=1))

    moments = random.Random(arguments.seed)
    names = ["calm", "sharded"]
    kills = redone = 0
    while kills < arguments.kills:  # a build that ends before it can be killed is followed by a fresh one
        name = f"killed-{len(names)}"
        names.append(name)
        fragments: dict[Path, Stamp] = {}
        running = True
        while running:
            process = _start(arguments, folder, name, shard_size=1)
            wait = moments.uniform(0.1, 1.0) * calm
            running = kills < arguments.kills and _killed(process, wait)
            if not running:
                _finish(process)
            before, fragments = fragments, _fragments(folder / name)
            redone += sum(fragments.get(path) != stamp for path, stamp in before.items())
            if running:
                kills += 1
                console.print(f"kill {kills}: {name} after {wait:.1f} s, {len(fragments)} fragments there")
    again = time.monotonic()
    _finish(_start(arguments, folder, names[-1], shard_size=1))
    again = time.monotonic() - again

    digests = {Manifest(str(folder / f"{name}.parquet")).digest for name in names}
    stray = list(folder.rglob("*spotdiff-tmp*"))
    checks = {
        f"{len(names)} builds, {len(digests)} manifest digest": len(digests) == 1,
        f"stray temporary files: {len(stray)}": not stray,
        f"finished fragments written again: {redone}": redone == 0,
        f"a finished build answered in {again:.1f} s (the first took {calm:.1f} s)": again < calm,
    }
    for line, held in checks.items():
        console.print(f"{'ok  ' if held else 'FAIL'} {line}")
    return 0 if all(checks.values()) else 1


def _start(arguments: argparse.Namespace, folder: Path, name: str, shard_size: int) -> subprocess.Popen[bytes]:
    command = [str(Path(sys.executable).with_name("spotdiff")), "build", str(folder / "world" / "images")]
    command += ["--poses", str(folder / "world" / "person_keypoints.json")]
    command += ["--manifest", str(folder / f"{name}.parquet"), "--work", str(folder / name)]
    command += ["--subjects", str(arguments.subjects), "--backgrounds", str(arguments.backgrounds)]
    command += ["--shard-size", str(shard_size)]
    log = (folder / f"{name}.log").open("ab")
    return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def _killed(process: subprocess.Popen[bytes], after: float) -> bool:
    """Whether the build was still running after so many seconds; it is not any more."""
    try:
        process.wait(timeout=after)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True
    return False


def _finish(running: subprocess.Popen[bytes]) -> None:
    if running.wait():
        raise SystemExit(f"the build failed with exit code {running.returncode}")


def _fragments(work: Path) -> dict[Path, Stamp]:
    """Finished fragments, and what tells whether one was written again."""
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in work.rglob("*.parquet")}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sources", type=int, default=3)
    parser.add_argument("--subjects", type=int, default=4)
    parser.add_argument("--backgrounds", type=int, default=4)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
