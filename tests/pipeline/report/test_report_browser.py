"""The report in a real browser, opened from the disk: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.manifest.filter import Choice, filter_manifest

CHROMIUM = os.environ.get("SPOTDIFF_CHROMIUM") or shutil.which("chromium")
playwright_api = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium: apt-get install chromium, or SPOTDIFF_CHROMIUM=FILE"
)
PAGES = ("index.html", "sources.html", "browse.html", "compare.html", "rejects.html", "SOURCE")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with playwright_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Visit:
    """A tab that notes whatever a page should not do."""

    def __init__(self, tab: Any, site: Path) -> None:
        self.tab, self.site = tab, site
        self.wrong: list[str] = []
        self.asked: list[str] = []
        tab.set_default_timeout(30_000)
        tab.on("console", lambda said: self.wrong.append(said.text) if said.type in ("error", "warning") else None)
        tab.on("pageerror", lambda error: self.wrong.append(str(error)))
        tab.on("dialog", lambda dialog: (self.wrong.append(f"dialog {dialog.message}"), dialog.dismiss()))
        tab.on("request", lambda request: self.asked.append(request.url))

    def open(self, name: str) -> Any:
        page, _, rest = name.partition("#")
        if page == "SOURCE":
            page = f"sources/{hostile_source(self.site)}.html"
        self.tab.goto("about:blank")
        self.tab.goto((self.site / page).as_uri() + (f"#{rest}" if rest else ""))
        if page in ("index.html", "browse.html", "compare.html", "rejects.html"):
            self.tab.wait_for_function("performance.getEntriesByName('spotdiff-ready').length > 0")
        return self.tab

    def command(self) -> list[str]:
        return shlex.split(self.tab.locator("main .copy code").first.text_content())


def hostile_source(site: Path) -> str:
    """The page of the source whose name is a script."""
    listed = (site / "sources.html").read_text()
    found = re.findall(r'href="sources/([\w-]+)\.html">(.*?)</li>', listed, re.DOTALL)
    (name,) = (name for name, card in found if "&lt;script&gt;" in card)
    return name


@pytest.fixture
def visit(chromium: Any, shown: Any) -> Iterator[Visit]:
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    seen = Visit(context.new_page(), shown.site)
    yield seen
    context.close()
    assert seen.wrong == []
    assert all(url.startswith(("file://", "data:", "about:")) for url in seen.asked), (
        "something was loaded from elsewhere"
    )


def rows_of(shown: Any, command: list[str], folder: Path) -> set[str]:
    """The rows that a copied command writes, by really filtering."""
    asked = dict(zip(command[3::2], command[4::2], strict=True))
    assert command[:3] == ["spotdiff", "filter", shown.manifest.path]
    out = filter_manifest(command[2], str(folder / "f.parquet"), Choice(where=asked.get("--where")))
    return {name for batch in out.batches(["variation_id"]) for name in batch.column(0).to_pylist()}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_sound_and_accessible(chromium: Any, shown: Any, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    context = chromium.new_context(
        color_scheme=scheme, viewport={"width": 1280, "height": 900}, reduced_motion="reduce"
    )
    seen = Visit(context.new_page(), shown.site)
    for page in PAGES:
        tab = seen.open(page)
        found = [
            v
            for v in axe.run(tab, options={"preload": False}).response["violations"]
            if v["impact"] in ("serious", "critical")
        ]
        assert not found, (page, [(v["id"], [node["html"][:200] for node in v["nodes"]][:3]) for v in found])
        if page == "SOURCE":
            tab.locator("button.tile").first.click()
            tab.wait_for_selector("#viewer .copy")
            found = [
                v
                for v in axe.run(tab, options={"preload": False}).response["violations"]
                if v["impact"] in ("serious", "critical")
            ]
            assert not found, [(v["id"], [node["html"][:200] for node in v["nodes"]][:3]) for v in found]
    context.close()
    assert seen.wrong == []


def test_filters_leave_what_their_command_writes(visit: Visit, shown: Any, tmp_path: Path) -> None:
    tab = visit.open("browse.html")
    assert tab.locator("#count").text_content() == f"{shown.manifest.rows} of {shown.manifest.rows}"
    tab.select_option("select[name=split]", "train")
    tab.locator("input[name=pose_score]").evaluate(
        "input => { input.value = '0.8'; input.dispatchEvent(new Event('input', {bubbles: true})); }"
    )
    wanted = {row["variation_id"] for row in shown.rows if row["split"] == "train" and row["pose_score"] >= 0.8}
    assert 0 < len(wanted) < shown.manifest.rows
    tab.wait_for_function(f"document.getElementById('count').textContent.startsWith('{len(wanted)} of')")
    assert rows_of(shown, visit.command(), tmp_path) == wanted
    assert tab.locator("button.tile").count() == min(len(wanted), 240)
    again = visit.open("browse.html#" + tab.url.partition("#")[2])
    assert again.locator("#count").text_content().startswith(f"{len(wanted)} of"), "the address holds the view"


def test_sorting_by_a_score(visit: Visit, shown: Any) -> None:
    tab = visit.open("browse.html")
    tab.select_option("select[name=sort]", "-pose_score")
    tab.wait_for_function("location.hash.includes('sort')")
    said = tab.locator("button.tile").first.get_attribute("aria-label")
    assert f"{max(row['pose_score'] for row in shown.rows):.3f}" in said


def test_a_stricter_threshold_leaves_what_its_command_writes(visit: Visit, shown: Any, tmp_path: Path) -> None:
    tab = visit.open("index.html")
    for score, times in (("pose_score", 3), ("clip_t_background", 2)):
        slider = tab.locator(f".score[data-score={score}] input").first
        slider.focus()
        for _ in range(times):
            tab.keyboard.press("PageUp")
    values = [
        float(tab.locator(f".score[data-score={score}] output").first.text_content())
        for score in ("pose_score", "clip_t_background")
    ]
    wanted = {
        row["variation_id"]
        for row in shown.rows
        if row["pose_score"] >= values[0] and row["clip_t_background"] >= values[1]
    }
    assert 0 < len(wanted) < shown.manifest.rows
    tab.wait_for_function(f"document.getElementById('verdict-count').textContent.startsWith('{len(wanted)} of')")
    alone = sum(row["pose_score"] >= values[0] for row in shown.rows)
    assert f"would leave {alone} of" in tab.locator(".score[data-score=pose_score] .left").text_content()
    visit_command = shlex.split(tab.locator("#verdict code").text_content())
    assert rows_of(shown, visit_command, tmp_path) == wanted
    tab.locator("#verdict-reset").click()
    assert tab.locator("#verdict").is_hidden()
    assert tab.locator("svg").count() >= 8, "funnel, reasons, six scores"


def test_missing_cells_are_shown_and_listed(visit: Visit) -> None:
    tab = visit.open("index.html")
    for at in range(3):
        tab.locator("#coverage-title ~ .tabs [role=tab]").nth(at).click()
        said = tab.locator("#map-said").text_content()
        total, short, _ = (int(number) for number in re.findall(r"\d+", said))
        assert tab.locator("#map rect").count() == total > short > 0
        assert tab.locator("#map-table tbody tr").count() == short


def test_a_picture_opens_and_is_left_by_keyboard(visit: Visit, shown: Any) -> None:
    tab = visit.open("browse.html")
    tab.keyboard.press("/")
    assert tab.evaluate("document.activeElement.name") == "split"
    tab.locator("button.tile").first.focus()
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("ArrowDown")
    label = tab.evaluate("document.activeElement.getAttribute('aria-label')")
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#viewer .copy")
    first = tab.locator("#viewer-title").text_content()
    assert label.startswith(first.split(" × ")[0])
    tab.keyboard.press("ArrowRight")
    tab.wait_for_function(f"document.getElementById('viewer-title').textContent !== {first!r}")
    tab.keyboard.press("ArrowLeft")
    tab.wait_for_function(f"document.getElementById('viewer-title').textContent === {first!r}")
    tab.keyboard.press("o")
    assert tab.locator("#viewer-pictures.outlined svg path").first.is_visible()
    told = tab.locator("#viewer-facts").text_content()
    row = next(row for row in shown.rows if row["variation_id"] in told)
    assert (
        f"spotdiff reproduce {row['variation_id']} --manifest {shown.manifest.path} --out {row['variation_id']}.png"
        in told
    )
    for value in (
        row["subject_seed"],
        row["background_seed"],
        row["sha256"],
        row["prompt"],
        f"{row['pose_score']:.3f}",
    ):
        assert str(value) in told
    tab.keyboard.press("Escape")
    assert not tab.locator("#viewer").is_visible()
    assert tab.evaluate("document.activeElement.getAttribute('aria-label')") == label


def test_rejects_show_reason_scores_and_picture(visit: Visit, shown: Any) -> None:
    tab = visit.open("rejects.html#reason=pose_not_kept")
    count = int(tab.locator("#count").text_content().split()[0])
    assert tab.locator("button.tile.miss").count() == count > 0
    tab.locator("button.tile.miss").first.click()
    tab.wait_for_selector("#viewer-facts table")
    assert "pose not kept" in tab.locator("#viewer-title").text_content()
    assert "Pose kept (OKS)" in tab.locator("#viewer-facts").text_content()
    assert 'reason == \\"pose_not_kept\\"' in tab.locator("main .copy code").first.text_content()


def test_compare_holds_one_factor(visit: Visit, shown: Any) -> None:
    tab = visit.open("compare.html")
    for name, column in (("by-subject", "subject_id"), ("by-background", "background_id")):
        tab.locator(f"#{name}").click()
        chosen = tab.locator("#choose").input_value()
        wanted = [row for row in shown.rows if row[column] == chosen]
        assert tab.locator("#groups button.tile").count() == len(wanted)
        assert tab.locator("#groups .group").count() == len({row["source_id"] for row in wanted}) > 1
    tab.locator("#by-background").focus()
    tab.keyboard.press("ArrowRight")
    assert tab.locator("#by-twins").get_attribute("aria-selected") == "true"
    assert tab.locator("#groups .card").count() > 5


def test_phones_need_not_scroll_sideways(chromium: Any, shown: Any) -> None:
    context = chromium.new_context(viewport={"width": 375, "height": 700}, has_touch=True)
    seen = Visit(context.new_page(), shown.site)
    for page in PAGES:
        tab = seen.open(page)
        assert tab.evaluate("document.documentElement.scrollWidth") <= 375, page
    tab.locator("button.tile").first.tap()
    tab.wait_for_selector("#viewer .copy")
    box = tab.locator("#viewer").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 375
    context.close()
    assert seen.wrong == []


def test_dark_and_light_by_key_and_kept(visit: Visit) -> None:
    tab = visit.open("sources.html")
    color = "getComputedStyle(document.body).backgroundColor"
    light = tab.evaluate(color)
    tab.keyboard.press("t")
    dark = tab.evaluate(color)
    assert sum(map(int, re.findall(r"\d+", dark)[:3])) < 120 < sum(map(int, re.findall(r"\d+", light)[:3]))
    assert visit.open("browse.html").evaluate(color) == dark


def test_hostile_texts_are_read_not_run(visit: Visit) -> None:
    tab = visit.open("SOURCE")
    assert tab.locator("h1").text_content() == "<script>alert(1)</script>.png"
    assert '"/><img src=x onerror=alert(2)>' in tab.locator(".source-head").text_content()
    assert tab.locator("img").count() == 0
    tab.locator("button.tile").first.click()
    tab.wait_for_selector("#viewer .copy")
    assert "<script>alert(1)</script>" in tab.locator("#viewer-facts").text_content()
    for page in ("browse.html", "compare.html", "rejects.html", "index.html"):
        visit.open(page)
        assert tab.evaluate("document.querySelectorAll('script:not([src]):not([type])').length") == 0
