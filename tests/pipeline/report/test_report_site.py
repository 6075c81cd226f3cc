"""The files of a report: every picture in its tile, every number as in the manifest, hostile texts harmless."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from toy_stages import build, recipe, write_pictures

from pipeline import store
from pipeline.config import UserError
from pipeline.imaging.png import from_png, to_png
from pipeline.manifest.parts import PartsWriter
from pipeline.manifest.read import Manifest
from pipeline.records import Posed, Subject
from pipeline.report import vendor
from pipeline.report.atlas import COLUMNS, PER_FILE, Atlas
from pipeline.report.outline import outline
from pipeline.report.places import is_current
from pipeline.report.run_pictures import RunPictures
from pipeline.report.source_page import page_name
from pipeline.report.tables import SCORES, missed_table
from pipeline.report.twins import near_twins
from pipeline.report.write import write_report
from pipeline.runner.ledger import Ledger


def data_of(site: Path, name: str) -> Any:
    """What a data file hands to the pages."""
    found = re.fullmatch(
        r'SpotDiff\.give\("([\w/-]+)",(.*)\);\n', (site / "data" / f"{name}.js").read_text(), re.DOTALL
    )
    assert found
    assert found[1] == name
    return json.loads(found[2])


def numbers_of(site: Path) -> Any:
    """The numbers that the first page draws."""
    page = (site / "index.html").read_text()
    return json.loads(page.split('id="numbers">', 1)[1].split("</script>", 1)[0])


def column(raw: dict[str, Any]) -> list[Any]:
    if "values" in raw:
        codes = np.frombuffer(base64.b64decode(raw["codes"]), "<i4")
        return [raw["values"][code] if code >= 0 else None for code in codes]
    kind = "f4" if "f4" in raw else "i4"
    return np.frombuffer(base64.b64decode(raw[kind]), f"<{kind}").tolist()


def tile(site: Path, name: str, number: int) -> np.ndarray:
    file, at = divmod(number, PER_FILE)
    sheet = Image.open(site / "thumbs" / f"{name}-{file}.webp").convert("L")
    side = sheet.width // COLUMNS
    x, y = at % COLUMNS * side, at // COLUMNS * side
    return np.asarray(sheet.crop((x, y, x + side, y + side)), np.float64)


def test_rows_are_those_of_the_manifest_to_the_last_bit(shown: Any) -> None:
    raw = data_of(shown.site, "rows")
    rows = shown.rows
    assert raw["n"] == len(rows) > 100
    for name in ("source_id", "subject_id", "background_id", "split", *SCORES):
        assert column(raw["columns"][name]) == [row[name] for row in rows], name


def test_every_picture_is_in_its_tile(shown: Any) -> None:
    seen = 0
    for source in data_of(shown.site, "site")["sources"]:
        page = data_of(shown.site, f"sources/{source['name']}")
        rows = [row for row in shown.rows if row["source_id"] == source["source_id"]]
        assert [row["variation_id"] for row in page["rows"]] == [row["variation_id"] for row in rows]
        pictures = [(row["image"]["bytes"], said["tile"]) for row, said in zip(rows, page["rows"], strict=True)]
        if rows:
            pictures.append((rows[0]["control"]["bytes"], page["control"]))
        posed = shown.run.posed(source["source_id"])
        pictures.append((posed.source_image, page["photo"]))
        pictures += [
            (row.subject_image, page["subjects"][row.subject_id]["tile"])
            for row in shown.run.subjects(source["source_id"])
        ]
        tried = {(row.subject_id, row.background_id): row for row in shown.run.rejected(source["source_id"])}
        for miss in page["misses"]:
            if miss["kind"] == "variation":
                pictures.append((tried[miss["subject_id"], miss["background_id"]].image, miss["tile"]))
        for png, number in pictures:
            original = np.asarray(from_png(png).convert("L"), np.float64)
            assert np.abs(tile(shown.site, source["name"], number) - original).mean() < 10, (
                "brightness of noise differs by some 50"
            )
            seen += 1
    assert seen > 200


def test_seeds_reach_the_pages_whole(shown: Any) -> None:
    rows = {row["variation_id"]: row for row in shown.rows}
    assert any(row["background_seed"] > 1 << 53 for row in rows.values()), "JavaScript would round these"
    for source in data_of(shown.site, "site")["sources"]:
        page = data_of(shown.site, f"sources/{source['name']}")
        for row in page["rows"]:
            assert row["background_seed"] == str(rows[row["variation_id"]]["background_seed"])
            assert page["subjects"][row["subject"]]["seed"] == str(rows[row["variation_id"]]["subject_seed"])


def test_counts_funnel_and_coverage_agree(shown: Any) -> None:
    numbers, misses = numbers_of(shown.site), missed_table(shown.manifest).to_pylist()
    kinds = Counter(miss["kind"] for miss in misses)
    sources, subjects, variations = numbers["counts"]
    assert (sources["rejected"], subjects["rejected"], variations["rejected"]) == tuple(
        kinds[k] for k in ("source", "subject", "variation")
    )
    assert (sources["ok"], variations["ok"]) == (15, shown.manifest.rows)
    assert subjects["ok"] + subjects["rejected"] == 15 * 4
    asked, posed, begun, accepted = (step["count"] for step in numbers["funnel"])
    assert (asked, posed, accepted) == (16 * 4 * 6, 15 * 4 * 6, shown.manifest.rows)
    assert begun == subjects["ok"] * 6 == accepted + kinds["variation"]
    by_pair = {(one["y"], one["x"]): one for one in numbers["coverage"]}
    for one in by_pair.values():
        assert sum(here for *_, here, _ in one["cells"]) == shown.manifest.rows
    assert sum(lost for *_, lost in by_pair["pose", "subject"]["cells"]) == posed - accepted
    assert sum(lost for *_, lost in by_pair["pose", "background"]["cells"]) == kinds["variation"]
    assert {line["reason"]: line["count"] for line in numbers["reasons"]} == Counter(miss["reason"] for miss in misses)
    assert sum(split["rows"] for split in numbers["splits"]) == shown.manifest.rows


def test_histograms_hold_every_score(shown: Any) -> None:
    scores = {score["score"]: score for score in numbers_of(shown.site)["scores"]}
    for name, score in scores.items():
        assert sum(score["accepted"]) == shown.manifest.rows, name
    assert scores["pose_score"]["gates"] == {"min": 0.5}
    assert scores["mask_area"]["gates"] == {"min": 0.02, "max": 0.85}
    assert sum(scores["pose_score"]["rejected"]) == len(missed_table(shown.manifest))
    values = [row["pose_score"] for row in shown.rows]
    edges = scores["pose_score"]["edges"]
    middle = len(edges) // 2
    below = sum(value < edges[middle] for value in values)
    assert abs(sum(scores["pose_score"]["accepted"][:middle]) - below) <= 1


def test_hostile_texts_stay_texts(shown: Any) -> None:
    hostile = "<script>alert(1)</script>"
    pages = sorted(shown.site.rglob("*.html"))
    assert len(pages) == 5 + 15
    told = 0
    for path in pages:
        page = path.read_text()
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        told += page.count("&lt;script&gt;alert(1)&lt;/script&gt;")
    assert told > 20
    (source,) = (one for one in data_of(shown.site, "site")["sources"] if one["path"] == f"{hostile}.png")
    page = data_of(shown.site, f"sources/{source['name']}")
    assert page["source_license"] == page["source_attribution"] == f'"/><img src=x onerror=alert(2)>{hostile}'


def test_names_of_files_never_lead_out_of_the_folder() -> None:
    assert page_name("0123456789abcdef") == "0123456789abcdef"
    for name in ("../../etc/passwd", "a/b", "", "x" * 200, "ü", "con\n"):
        assert re.fullmatch("[0-9a-f]{16}", page_name(name))


def test_datasets_takes_the_folder_for_the_rows_with_the_report_in_it(shown: Any, tmp_path: Path) -> None:
    folder = tmp_path / "manifests"
    folder.mkdir()
    for name in ("v1.parquet", "__report__"):
        (folder / name).symlink_to(shown.folder / name)
    found = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))["train"]
    assert found["variation_id"][:] == [row["variation_id"] for row in shown.rows]


def test_written_again_it_is_the_same_and_leaves_nothing_behind(shown: Any, tmp_path: Path) -> None:
    site = tmp_path / "site"
    report = write_report(shown.manifest, str(site), shown.run, originals=True)
    assert is_current(shown.manifest, str(site))
    originals = sorted(site.rglob("originals/*/*.png"))
    assert {path.read_bytes() for path in originals} == {row["image"]["bytes"] for row in shown.rows}
    (site / "sources" / "gone.html").write_text("of a source that is gone")
    (site / "notes.txt").write_text("the user's")
    again = write_report(shown.manifest, str(site), shown.run)
    assert again.files == report.files - len(originals)
    assert not list(site.rglob("*.png"))
    assert not (site / "sources" / "gone.html").exists()
    assert (site / "notes.txt").exists()

    def contents(folder: Path) -> dict[str, bytes]:
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    assert contents(site) == {**contents(shown.site), "notes.txt": b"the user's"}


def test_an_object_store_holds_the_same_files(shown: Any) -> None:
    write_report(shown.manifest, "memory://bucket/site", shown.run, originals=True)
    write_report(shown.manifest, "memory://bucket/site", shown.run)
    assert is_current(shown.manifest, "memory://bucket/site")
    fs, root = store.filesystem("memory://bucket/site")
    there = {path.removeprefix(f"{root}/"): fs.cat_file(path) for path in fs.find(root)}
    assert there == {str(p.relative_to(shown.site)): p.read_bytes() for p in shown.site.rglob("*") if p.is_file()}


def test_image_steps_count_every_attempt(shown: Any) -> None:
    page = (shown.site / "index.html").read_text()
    subjects = [row for one in data_of(shown.site, "site")["sources"] for row in shown.run.subjects(one["source_id"])]
    tried = shown.manifest.rows + sum(miss["kind"] == "variation" for miss in missed_table(shown.manifest).to_pylist())
    figures = sum(row.subject_attempt + 1 for row in subjects)
    assert f"{figures * 12 + tried * 8:,}: {figures:,} subjects x 12, {tried:,} backgrounds x 8" in page
    assert "from the first finished shard to the last" in page


def test_without_the_run_the_manifest_alone_is_shown(shown: Any, tmp_path: Path) -> None:
    write_report(shown.manifest, str(tmp_path), None)
    listed = data_of(tmp_path, "site")["sources"]
    assert sum(source["rows"] for source in listed) == shown.manifest.rows
    assert all(source["photo"] is None for source in listed)
    assert "The photos themselves are not in a manifest" in (tmp_path / "sources.html").read_text()
    assert set(column(data_of(tmp_path, "misses")["columns"]["tile"])) == {-1}


def test_fragments_without_rows_cost_their_pictures_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = build(write_pictures(tmp_path / "in", 2), tmp_path / "m.parquet", tmp_path / "work", recipe(), shard_size=1)
    (root,) = (tmp_path / "work").glob("m-*")
    ledger = Ledger(str(root))
    for fragment in made.fragments:
        if fragment.stage in ("poses", "subjects"):
            ledger.drop_rows(fragment, {"poses": Posed, "subjects": Subject}[fragment.stage])
    write_report(Manifest(str(tmp_path / "m.parquet")), str(tmp_path / "site"), RunPictures(ledger, made.fragments))
    assert all(source["photo"] is None for source in data_of(tmp_path / "site", "site")["sources"])
    assert caplog.text.count("photos, figures and rejected pictures are lacking") == 1
    assert all(Path(fragment.path).exists() for fragment in made.fragments)


def test_a_picture_that_cannot_be_read_is_named(shown: Any, tmp_path: Path) -> None:
    first, *_ = shown.rows
    writer = PartsWriter(str(tmp_path / "m.parquet"), {}, 1 << 30)
    writer.add({**first, "image": {"bytes": b"no picture", "path": "x.png"}})
    writer.close()
    with pytest.raises(UserError, match=f"row {first['variation_id']}: a picture cannot be read"):
        write_report(Manifest(str(tmp_path / "m.parquet")), str(tmp_path / "site"))


def test_a_manifest_of_another_program_is_shown_too(shown: Any, tmp_path: Path) -> None:
    frame = pd.read_parquet(shown.manifest.path)
    frame.drop(columns=["nsfw", "source_uri"]).head(20).to_parquet(tmp_path / "m.parquet")
    write_report(Manifest(str(tmp_path / "m.parquet")), str(tmp_path / "site"))
    numbers = numbers_of(tmp_path / "site")
    assert numbers["funnel"] == []
    assert numbers["counts"][2]["ok"] == 20
    frame.drop(columns=["pose_score"]).to_parquet(tmp_path / "less.parquet")
    with pytest.raises(UserError, match="lacks the columns pose_score"):
        write_report(Manifest(str(tmp_path / "less.parquet")), str(tmp_path / "other"))


def test_many_tiles_go_on_in_a_second_file() -> None:
    files: dict[str, bytes] = {}
    atlas = Atlas("a", 16, files.__setitem__)
    for number in range(PER_FILE + COLUMNS + 1):
        assert atlas.add(to_png(Image.new("RGB", (32, 32), (number % 256, 0, 0)))) == number
    atlas.flush()
    sizes = {name: Image.open(io.BytesIO(data)).size for name, data in files.items()}
    assert sizes == {"thumbs/a-0.webp": (256, 256), "thumbs/a-1.webp": (256, 32)}


def test_an_outline_runs_along_the_mask() -> None:
    mask = Image.new("L", (64, 64))
    mask.paste(255, (16, 8, 48, 40))
    mask.paste(0, (24, 16, 32, 24))
    path = outline(to_png(mask))
    rings = [np.array([point.split() for point in ring.split("L")], float) for ring in re.findall(r"M([^Z]*)Z", path)]
    assert len(rings) == 2, "the hole has an outline of its own"
    edges = sorted((ring.min(axis=0).tolist(), ring.max(axis=0).tolist()) for ring in rings)
    assert np.allclose(edges[0], [[250, 125], [750, 625]], atol=4)
    assert np.allclose(edges[1], [[375, 250], [500, 375]], atol=4)
    assert outline(to_png(Image.new("L", (8, 8)))) == ""


def test_near_twins_are_different_subjects_before_one_background() -> None:
    rows = pd.DataFrame(
        {
            "background_id": ["a", "a", "a", "a", "b", "b"],
            "subject_id": pd.Categorical(["x", "x", "y", "z", "x", "y"]),
            "phash": ["0" * 16, "0" * 16, "0" * 15 + "7", "0" * 15 + "f", "f" * 16, "f" * 15 + "e"],
        }
    )
    assert near_twins(rows) == [(2, 3, 1), (4, 5, 1)]
    assert near_twins(rows.head(2)) == []
    assert near_twins(rows, shown=1) == [(2, 3, 1)]


def test_what_is_vendored_is_what_the_lock_says() -> None:
    for package, pinned in json.loads(vendor.LOCK.read_text()).items():
        data = (vendor.FOLDER / pinned["file"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == pinned["sha256"], package
        assert f"{package}@{pinned['version']} ({pinned['license']})" in vendor.LICENSES.read_text()
