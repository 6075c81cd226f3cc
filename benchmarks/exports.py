"""Seconds and peak memory of exports, by number of rows: memory must not grow with them.

    python benchmarks/exports.py --rows 1000 10000 --size 128

Makes manifests of noise (256 rows' pictures, used again and again) and exports each in a process of its own.
"""

from __future__ import annotations

import argparse
import hashlib
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from pipeline import ids
from pipeline.config import build_config, load_profile
from pipeline.exports.export import LAYOUTS, export
from pipeline.imaging.png import to_png
from pipeline.manifest.footer import describe
from pipeline.manifest.parts import PartsWriter
from pipeline.manifest.write import MAX_PART_BYTES


def write(path: Path, rows: int, size: int) -> None:
    """A manifest of so many rows, 100 a source."""
    rng = np.random.default_rng(0)
    pictures = [to_png(Image.fromarray(rng.integers(0, 256, (size, size, 3), np.uint8))) for _ in range(256)]
    mask = to_png(Image.fromarray(np.pad(np.full((size // 2, size // 2), 255, np.uint8), size // 4)))
    writer = PartsWriter(
        str(path), describe(load_profile("tiny"), build_config(manifest=str(path), sources=("x",))), MAX_PART_BYTES
    )
    for number in range(rows):
        source, (subject, background) = f"{number // 100:016x}", divmod(number % 100, 10)
        image = pictures[number % len(pictures)]
        name = ids.variation_id(source, f"s{subject}", f"b{background}")
        told = {
            "variation_id": name,
            "source_id": source,
            "pose_id": source,
            "subject_id": f"s{subject}",
            "background_id": f"b{background}",
        }
        text = dict.fromkeys(
            ("phash", "source_phash", "prompt", "subject_prompt", "background_prompt", "negative_prompt"), "x"
        )
        scores = dict.fromkeys(
            ("pose_score", "mask_score", "mask_area", "clip_t_subject", "clip_t_background", "subject_kept"), 0.5
        )
        seeds = dict.fromkeys(("subject_seed", "background_seed", "attempt"), number)
        content = {
            column: {"bytes": png, "path": "x"}
            for column, png in (("image", image), ("mask", mask), ("control", image))
        }
        more = {
            "split": "train" if number // 100 % 10 else "test",
            "keypoints": [[0.5, 0.5, 1.0]] * 18,
            "width": size,
            "height": size,
        }
        writer.add({**told, **text, **scores, **seeds, **content, **more, "sha256": hashlib.sha256(image).hexdigest()})
    writer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--layouts", nargs="+", default=list(LAYOUTS))
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        start = time.perf_counter()
        done = export(*args.one)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(time.perf_counter() - start, peak, sum(size for size, _ in done.files.values()))  # noqa: T201
        return
    table = Table("rows", "layout", "seconds", "peak MB", "bytes", box=None)
    for rows in args.rows:
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder, "m.parquet"), rows, args.size)
            for layout in args.layouts:
                command = [sys.executable, __file__, "--one", f"{folder}/m.parquet", layout, f"{folder}/{layout}"]
                told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
                table.add_row(str(rows), layout, f"{float(told[0]):.1f}", f"{float(told[1]):.0f}", told[2])
    Console().print(table)


if __name__ == "__main__":
    main()
