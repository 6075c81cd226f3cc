"""Peak memory and wall time of whole builds, by number of sources.

    python benchmarks/memory.py [--sources 5 50] [--subjects 10] [--backgrounds 10] [--seed 0]

Each build is the ``spotdiff build`` command in processes of its own, Prefect server included; twice a second the
resident memory of all of them together is read (pages that they share are counted once).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from pipeline.manifest.read import Manifest
from tinyworld.world.export import export


def main() -> None:
    arguments = _arguments()
    table = Table("sources", "variations", "peak memory, MB", "wall s", "s per source")
    with tempfile.TemporaryDirectory(prefix="spotdiff-memory-") as temporary:
        for count in arguments.sources:
            folder = Path(temporary) / str(count)
            export(folder / "world", count, seed=arguments.seed + 500)
            begun = time.monotonic()
            peak = _peak(_build(folder, arguments))
            wall = time.monotonic() - begun
            rows = Manifest(str(folder / "v1.parquet")).rows
            table.add_row(f"{count}", f"{rows}", f"{peak / 1e6:.0f}", f"{wall:.0f}", f"{wall / count:.1f}")
    Console().print(table)


def _build(folder: Path, arguments: argparse.Namespace) -> subprocess.Popen[bytes]:
    command = [str(Path(sys.executable).with_name("spotdiff")), "build", str(folder / "world" / "images")]
    command += ["--poses", str(folder / "world" / "person_keypoints.json")]
    command += ["--manifest", str(folder / "v1.parquet"), "--work", str(folder / "work")]
    command += ["--subjects", str(arguments.subjects), "--backgrounds", str(arguments.backgrounds)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def _peak(running: subprocess.Popen[bytes]) -> int:
    """Bytes; the largest sum seen of the proportional set sizes of a process and its children."""
    peak = 0
    while running.poll() is None:
        family = [psutil.Process(running.pid), *psutil.Process(running.pid).children(recursive=True)]
        peak = max(peak, sum(_resident(process) for process in family))
        time.sleep(0.5)
    if running.returncode:
        raise SystemExit(f"the build failed with exit code {running.returncode}")
    return peak


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:  # it has just ended
        return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sources", type=int, nargs="+", default=[5, 50])
    parser.add_argument("--subjects", type=int, default=10)
    parser.add_argument("--backgrounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
