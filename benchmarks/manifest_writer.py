"""How fast a manifest is written from finished fragments, with one thread and with more, pictures of a real size.

    python benchmarks/manifest_writer.py [--sources 40] [--rows 50] [--kilobytes 450] [--threads 1 2] [--repeats 3]

Fragments of random bytes stand for pictures, a source each. Runs with one thread and with more take turns, and the
digest of all must be one. Prints rows a second and CPU time a row, medians, and the ratio of the wall times.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from pipeline import ids
from pipeline.manifest import parts
from pipeline.manifest.write import write_manifest
from pipeline.records import Variation
from pipeline.runner.duplicates import Duplicates
from pipeline.runner.ledger import Fragment, Ledger

_HEADER = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + (512).to_bytes(4, "big") * 2
"""What the writer reads of a picture: its width and height."""


def fragment(ledger: Ledger, number: int, rows: int, kilobytes: int, chance: np.random.Generator) -> Fragment:
    """One source's variations, as a build leaves them."""
    source = ids.source_id(f"source {number}")
    control, mask = (chance.bytes(share * kilobytes * 10) for share in (5, 1))
    made = []
    for slot in range(rows):
        image = _HEADER + chance.bytes(kilobytes * 1000 - len(_HEADER))
        row = Variation(
            source_id=source, path=f"{source}.png", subject_id=f"s{slot // 10}", background_id=f"b{slot % 10}",
            pose_id=source, split="train", variation_id=f"{source}-{slot}", keypoints=[[0.5, 0.5, 1.0]] * 18,
            control=control, mask=mask, subject_image=image, image=image, sha256=hashlib.sha256(image).hexdigest(),
            phash="0" * 16, source_phash="0" * 16, pose_score=0.9, people=1, mask_score=0.9, mask_area=0.2,
            clip_t_subject=0.5, clip_t_background=0.5, subject_kept=1.0,
        )  # fmt: skip
        made.append(row)
    return ledger.write(made, Variation, stage="variations", shard=f"{number:05d}", key=source * 4, settings="")


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="spotdiff-writer-", dir=arguments.folder) as folder:
        ledger, chance = Ledger(f"{folder}/work"), np.random.default_rng(0)
        made = [fragment(ledger, n, arguments.rows, arguments.kilobytes, chance) for n in range(arguments.sources)]
        total = arguments.sources * arguments.rows
        size = 1.06 * total * arguments.kilobytes * 1000
        wall: dict[int, list[float]] = {threads: [] for threads in arguments.threads}
        cpu: dict[int, list[float]] = {threads: [] for threads in arguments.threads}
        digests = set()
        for _ in range(arguments.repeats):
            for threads in arguments.threads:
                parts.MAX_THREADS = threads
                path = Path(folder) / "m.parquet"
                began, used = time.monotonic(), time.process_time()
                written = write_manifest(str(path), ledger, made, Duplicates(), {"format": 0}, int(size / 8))
                wall[threads].append(time.monotonic() - began)
                cpu[threads].append(time.process_time() - used)
                digests.add(written.digest)
        assert len(digests) == 1, f"digests differ: {digests}"
    table = Table(box=None, pad_edge=False)
    for name in ("threads", "rows/s", "MB/s", "CPU ms a row", "times as fast as the first"):
        table.add_column(name, justify="right")
    first = statistics.median(wall[arguments.threads[0]])
    for threads in arguments.threads:
        middle, used = statistics.median(wall[threads]), statistics.median(cpu[threads])
        numbers = (total / middle, size / 1e6 / middle, used / total * 1000, first / middle)
        table.add_row(str(threads), *(f"{number:.2f}" for number in numbers))
    console = Console(width=120)
    console.print(f"{total} rows of {arguments.kilobytes} kB, {len(written.paths)} parts")
    console.print(table)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", type=int, default=40)
    parser.add_argument("--rows", type=int, default=50, help="of each source")
    parser.add_argument("--kilobytes", type=int, default=450, help="of a picture")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", help="where the files lie meanwhile; default: the temporary folder")
    return parser.parse_args()


if __name__ == "__main__":
    main()
