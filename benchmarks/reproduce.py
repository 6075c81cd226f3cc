"""Makes random variations of a manifest again, from its footer and the sources alone.

    python benchmarks/reproduce.py manifests/v1.parquet --count 20

Prints one line each: whether the bytes are the same, and whether that took the build's batches. Exit code 1 if any
differs.
"""

from __future__ import annotations

import argparse
import random
import sys
import time

from pipeline.exports.reproduce import reproduce
from pipeline.manifest.read import Manifest


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--source", help="where the sources are now")
    args = parser.parse_args()
    manifest = Manifest(args.manifest)
    names = [name for batch in manifest.batches(["variation_id"]) for name in batch.column(0).to_pylist()]
    chosen = random.Random(args.seed).sample(names, min(args.count, len(names)))
    same = batched = 0
    for name in chosen:
        start = time.perf_counter()
        made = reproduce(manifest, name, source=args.source)
        same, batched = same + made.same, batched + made.in_batches
        off = "same bytes" if made.same else f"{made.changed:.2%} of the pixels differ, by {made.largest} at most"
        how = "in the build's batches" if made.in_batches else "alone"
        print(f"{name}  {off}, {how}, {time.perf_counter() - start:.1f} s", flush=True)  # noqa: T201
    print(f"{same} of {len(chosen)} the same bytes; {batched} took the build's batches")  # noqa: T201
    return int(same < len(chosen))


if __name__ == "__main__":
    sys.exit(main())
