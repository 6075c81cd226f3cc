"""What a report costs: seconds, bytes and memory to write it, and seconds until it can be used in a browser.

    python benchmarks/report.py [--variations 1000 10000] [--size 64] [--browser]

The manifests are made for the measurement, in no time and without models: their rows have true ids, splits and
checksums and go through the manifest's own writer, but their pictures are a few hundred renders of the miniature world,
used again and again. Scores are drawn at random. One row in fifty is among the misses.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from pipeline import ids
from pipeline.config import Splits, build_config, load_profile
from pipeline.imaging.phash import phash
from pipeline.imaging.png import from_png, to_png
from pipeline.imaging.skeleton import draw_pose
from pipeline.manifest.footer import describe
from pipeline.manifest.parts import PartsWriter
from pipeline.manifest.read import Manifest
from pipeline.manifest.rejected import RejectedWriter
from pipeline.manifest.schema import REJECTED_SCHEMA
from pipeline.manifest.write import MAX_PART_BYTES
from pipeline.report.places import INDEX, report_folder
from pipeline.report.write import write_report
from tinyworld.world.render import render_seed

PICTURES = 200
SUBJECTS, BACKGROUNDS = 10, 10
MISSED = 50
"""One variation in so many is missed."""


@functools.cache
def pictures(size: int) -> list[dict[str, Any]]:
    """Renders with mask, pose and hashes."""
    made = []
    for seed in range(PICTURES):
        shot = render_seed(seed, size)
        png = to_png(Image.fromarray(shot.image))
        mask = to_png(Image.fromarray(shot.mask.astype(np.uint8) * 255))
        points = shot.keypoints.astype(float).tolist()
        hashes = {"sha256": hashlib.sha256(png).hexdigest(), "phash": phash(from_png(png))}
        made.append(
            {"image": png, "mask": mask, "keypoints": points, "control": to_png(draw_pose(points, size)), **hashes}
        )
    return made


def rows_of(source: str, size: int, chance: np.random.Generator) -> Iterator[dict[str, Any]]:
    """A source's variations, sorted."""
    split = ids.split_of(source, 0, Splits())
    points = pictures(size)[int(source[:6], 16) % PICTURES]["keypoints"]
    subjects = sorted(f"{split}-{number:03d}" for number in chance.choice(320, SUBJECTS, replace=False))
    backgrounds = sorted(f"{split}-{number:02d}" for number in chance.choice(60, BACKGROUNDS, replace=False))
    for subject in subjects:
        scores = dict(zip(("pose_score", "mask_score", "clip_t_subject"), chance.uniform(0.5, 1, 3), strict=True))
        for background in backgrounds:
            name = ids.variation_id(source, subject, background)
            shot = pictures(size)[int(name[:6], 16) % PICTURES]
            yield {
                "variation_id": name,
                "source_id": source,
                "pose_id": ids.pose_id(source, points),
                "subject_id": subject,
                "background_id": background,
                "split": split,
                **{kind: {"bytes": shot[kind], "path": f"{name}.{kind}.png"} for kind in ("image", "mask", "control")},
                **{field: shot[field] for field in ("keypoints", "sha256", "phash")},
                "width": size,
                "height": size,
                "source_phash": source,
                "prompt": f"a person of kind {subject}, at the place {background}",
                "subject_prompt": f"a person of kind {subject}",
                "background_prompt": f"at the place {background}",
                "negative_prompt": "",
                "subject_seed": ids.seed_for(source, "subjects", subject, "", 0, 0),
                "background_seed": ids.seed_for(source, "variations", subject, background, 0, 0),
                "attempt": 0,
                **scores,
                "mask_area": 0.2,
                "clip_t_background": chance.uniform(0.2, 0.8),
                "subject_kept": chance.uniform(0.95, 1),
                "nsfw": None,
                "source_license": "CC0-1.0",
                "source_attribution": None,
                "source_uri": None,
            }


def make_manifest(path: Path, variations: int, size: int) -> Manifest:
    """A manifest of about so many rows."""
    chance = np.random.default_rng(0)
    config = build_config(sources=("made for benchmarks/report.py",), manifest=str(path))
    writer = PartsWriter(str(path), describe(load_profile("tiny"), config), MAX_PART_BYTES)
    rejected = RejectedWriter(str(path), writer.generation)
    count = max(1, variations // (SUBJECTS * BACKGROUNDS))
    for source in sorted(ids.source_id(f"source {number}") for number in range(count)):
        for number, row in enumerate(rows_of(source, size, chance)):
            if number % MISSED == MISSED - 1:
                miss = {name: row.get(name) for name in REJECTED_SCHEMA.names}
                why = {"kind": "variation", "status": "rejected", "reason": "background_prompt_missed"}
                rejected.add_values({**miss, **why, "path": f"{source}.png"})
            else:
                writer.add(row)
    writer.close({"rejected": rejected.close()})
    return Manifest(str(path))


def usable(site: Path, chromium: str) -> dict[str, float]:
    """Seconds from asking for a page until its filters and charts answer, in a browser that is there already."""
    from playwright.sync_api import sync_playwright

    ready = "performance.getEntriesByName('spotdiff-ready')[0]?.startTime"
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        tab.goto("about:blank")
        told = {}
        for page in (INDEX, "browse.html", "compare.html"):
            tab.goto((site / page).as_uri())
            tab.wait_for_function(ready)
            told[page.removesuffix(".html")] = tab.evaluate(ready) / 1000
        tab.goto((site / "browse.html").as_uri())
        tab.wait_for_function(ready)
        slide = "input => { input.value = .75; input.dispatchEvent(new Event('input', {bubbles: true})); }"
        before, count = time.monotonic(), tab.locator("#count").text_content()
        tab.locator("input[name=pose_score]").evaluate(slide)
        tab.wait_for_function(f"document.getElementById('count').textContent !== {json.dumps(count)}")
        told["filter"] = time.monotonic() - before
        browser.close()
    return told


def main() -> int:
    arguments = _arguments()
    if arguments.folder:
        _measure(arguments)
        return 0
    table = Table(box=None)
    pages = ("index", "browse", "compare", "filter") if arguments.browser else ()
    for name in (
        "variations",
        "manifest MB",
        "report s",
        "CPU s",
        "report MB",
        "files",
        "peak MB",
        *(f"{p} s" for p in pages),
    ):
        table.add_column(name, justify="right")
    for variations in arguments.variations:
        folder = Path(tempfile.mkdtemp(prefix="spotdiff-report-"))
        try:
            made = make_manifest(folder / "m.parquet", variations, arguments.size)
            command = [sys.executable, __file__, "--folder", str(folder)]
            told = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
            size = sum(Path(path).stat().st_size for path in made.paths) / 1e6
            numbers = [f"{size:.1f}", f"{told['seconds']:.1f}", f"{told['cpu']:.1f}", f"{told['bytes'] / 1e6:.1f}"]
            used = usable(Path(report_folder(made.path)), arguments.chromium) if arguments.browser else {}
            found = [f"{told['files']}", f"{told['peak']:.0f}", *(f"{used[page]:.2f}" for page in pages)]
            table.add_row(str(made.rows), *numbers, *found)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    Console(width=140).print(table)
    return 0


def _measure(arguments: argparse.Namespace) -> None:
    """Writes one report, in a process of its own."""
    before, cpu = time.monotonic(), time.process_time()
    manifest = Manifest(str(arguments.folder / "m.parquet"))
    report = write_report(manifest, report_folder(manifest.path))
    told = {
        "seconds": time.monotonic() - before,
        "cpu": time.process_time() - cpu,
        "bytes": report.bytes,
        "files": report.files,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    sys.stdout.write(json.dumps(told) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variations", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--size", type=int, default=64, help="Side of the pictures, pixels.")
    parser.add_argument("--browser", action="store_true", help="Open the reports in Chromium, too (needs Playwright).")
    parser.add_argument("--chromium", default=shutil.which("chromium"), help="Its program.")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
