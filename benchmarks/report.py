"""What a report costs: seconds, bytes and memory to write it, and seconds until it can be used in a browser.

    python benchmarks/report.py [--variations 1000 10000] [--size 64] [--browser]
    python benchmarks/report.py --manifest FILE [--work DIR]

With ``--manifest`` the report of that build is written anew into a temporary folder and opened in Chromium; exit code
1: a page is not ready within two seconds, says an error, or has a serious finding of axe.

Otherwise manifests are made for the measurement, in no time and without models: their rows have true ids, splits and
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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from flows.cli.report import run_pictures
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
PAGES, ANSWERS = (INDEX, "browse.html", "compare.html", "rejects.html"), ("filter", "open", "slider")
READY = "performance.getEntriesByName('spotdiff-ready')[0]?.startTime"
LOAD_SECONDS = 2.0
"""In which a page must answer."""


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


@contextmanager
def tab_of(chromium: str, wrong: list[str]) -> Iterator[Any]:
    """A tab of a browser; what its pages complain of is added to ``wrong``."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        tab.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.goto("about:blank")
        yield tab
        browser.close()


def opened(tab: Any, page: Path) -> float:
    """Opens a page; seconds until its filters and charts answer, by the browser's own clock."""
    tab.goto(page.as_uri())
    tab.wait_for_function(READY)
    return float(tab.evaluate(READY)) / 1000


def usable(site: Path, tab: Any) -> dict[str, float]:
    """Seconds of each page, and until a filter, a stricter threshold, and a click on a picture are answered."""
    told = {page.removesuffix(".html"): opened(tab, site / page) for page in PAGES}

    def until(name: str, act: Callable[[], object], answered: str) -> None:
        before = time.monotonic()
        act()
        tab.wait_for_function(answered)
        told[name] = time.monotonic() - before

    opened(tab, site / "browse.html")
    all_rows = json.dumps(tab.locator("#count").text_content())
    changed = f"document.getElementById('count').textContent !== {all_rows}"
    until("filter", lambda: tab.select_option("select[name=split]", "train"), changed)
    tile = tab.locator("button.tile").first
    until("open", tile.click, "document.querySelector('#viewer .copy') !== null")
    opened(tab, site / INDEX)
    slider = tab.locator(".score[data-score=pose_score] input").first
    slider.focus()
    until("slider", lambda: slider.press("PageUp"), "!document.getElementById('verdict').hidden")
    return told


def serious(site: Path, tab: Any) -> list[str]:
    """What axe finds on each page."""
    from axe_playwright_python.sync_playwright import Axe

    found = []
    for page in PAGES:
        opened(tab, site / page)
        result = Axe().run(tab, options={"preload": False}).response["violations"]
        found += [f"{page}: {one['id']}" for one in result if one["impact"] in ("serious", "critical")]
    return found


def given(arguments: argparse.Namespace) -> int:
    """Writes and opens the report of a manifest that is there."""
    wrong: list[str] = []
    with tempfile.TemporaryDirectory(prefix="spotdiff-report-") as name:
        site, manifest = Path(name) / "report", Manifest(arguments.manifest)
        run = run_pictures(manifest, arguments.work, "the report goes")
        cpu = time.process_time()
        report = write_report(manifest, str(site), run)
        cpu = time.process_time() - cpu
        with tab_of(arguments.chromium, wrong) as tab:
            told = usable(site, tab)
            findings = serious(site, tab)
    size = f"{report.bytes / 1e6:.1f} MB in {report.files} files, {cpu:.1f} s of CPU"
    pictures = "with" if run else "without"
    console = Console(width=140)
    console.print(f"{manifest.rows} variations: {size}, {pictures} the run's photos and rejected pictures")
    table = Table(*(f"{name} s" for name in told), box=None)
    table.add_row(*(f"{seconds:.2f}" for seconds in told.values()))
    console.print(table)
    slow = [name for name in (page.removesuffix(".html") for page in PAGES) if told[name] > LOAD_SECONDS]
    for problem in (*wrong, *findings, *(f"{name}: not ready within {LOAD_SECONDS:g} s" for name in slow)):
        console.print(problem, style="red", markup=False)
    console.print(f"{len(wrong)} errors or warnings in the console, {len(findings)} serious findings of axe")
    return 1 if wrong or findings or slow else 0


def main() -> int:
    arguments = _arguments()
    if arguments.manifest:
        return given(arguments)
    if arguments.folder:
        _measure(arguments)
        return 0
    table = Table(box=None)
    pages = (*(page.removesuffix(".html") for page in PAGES), *ANSWERS) if arguments.browser else ()
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
            used = {}
            if arguments.browser:
                with tab_of(arguments.chromium, []) as tab:
                    used = usable(Path(report_folder(made.path)), tab)
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
    parser.add_argument("--manifest", help="Of a build: measure its report instead.")
    parser.add_argument("--work", default="work", help="The build's --work, for photos and rejected pictures.")
    parser.add_argument("--browser", action="store_true", help="Open the reports in Chromium, too (needs Playwright).")
    parser.add_argument("--chromium", default=shutil.which("chromium"), help="Its program.")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
