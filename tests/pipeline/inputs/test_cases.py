"""Small inputs that once went wrong, from the listing to the poses."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.config import ModelRef, PoseSettings, Splits, UserError
from pipeline.inputs.listing import list_sources
from pipeline.models.resolve import Model
from pipeline.records import Posed, Reason, Source
from pipeline.runner.duplicates import find_duplicates
from pipeline.stages.poses import FindPoses
from pipeline.stages.sources import Sources

NOBODY = Model(ModelRef(repo="package:profiles", license="none"))


def read(*sources: Path, poses: Path | None = None) -> dict[str, Source]:
    """Each source's row after the stage ``sources`` and the search for duplicates."""
    rows = list(Sources(size=64).process(list_sources([str(s) for s in sources], poses=str(poses) if poses else None)))
    return {row.path: row for row in find_duplicates(rows, 4).mark(rows)}


def posed(case: Path, name: str = "poses.json") -> dict[str, Posed]:
    """Each source's row after the stage ``poses``, those that get there."""
    stage = FindPoses(
        poses=PoseSettings(), size=64, extractor=NOBODY, file=str(case / name), splits=Splits(), seed=0
    )  # fmt: skip
    good = [row for row in read(case / "photos", poses=case / name).values() if row.ok]
    return {row.path: row for row in stage.process(stage.expand(good))}


@pytest.mark.parametrize(
    "case", ["p03_orphan_annotation", "p04_box_without_keypoints", "p06_label_studio_images_prefix"]
)
def test_odd_entries_and_names_change_no_pose(cases: Path, case: str) -> None:
    plain, odd = posed(cases / "p01_bom"), posed(cases / case)
    assert all(row.ok for row in plain.values())
    assert {path: row.keypoints for path, row in odd.items()} == {path: row.keypoints for path, row in plain.items()}


def test_keypoints_in_another_order(cases: Path) -> None:
    plain, other = posed(cases / "p01_bom"), posed(cases / "p10_keypoints_in_other_order")
    assert {path: row.keypoints for path, row in other.items()} == {path: row.keypoints for path, row in plain.items()}


def test_one_name_in_two_folders(cases: Path) -> None:
    with pytest.raises(UserError, match="not clear which sources it speaks of"):
        posed(cases / "p08_same_name_two_folders")


def test_annotated_before_it_was_turned(cases: Path) -> None:
    turned, upright = (posed(cases / "p09_exif_raw_annotation", f"{name}.json") for name in ("poses", "poses_upright"))
    assert turned["tall.jpg"].ok
    assert turned["tall.jpg"].keypoints == upright["tall.jpg"].keypoints


def test_a_keypoint_that_is_no_number(cases: Path) -> None:
    rows = posed(cases / "p13_nan_keypoint")
    assert (rows["w1.png"].reason, rows["w2.png"].reason) == (Reason.BAD_POSE_ENTRY, None)


def test_the_annotated_one_of_two_equal_pictures(cases: Path) -> None:
    case = cases / "p18_duplicate_annotated_second"
    assert {path: row.ok for path, row in posed(case).items()} == {"w1.png": True, "w2.png": True}
    copy = read(case / "photos", poses=case / "poses.json")["a_copy.png"]
    assert (copy.reason, copy.detail) == (Reason.DUPLICATE, "w1.png")


def test_lists(cases: Path) -> None:
    rows = read(cases / "s02_txt_list" / "list.txt")
    assert {path for path, row in rows.items() if row.ok} == {"#1 portrait.png", " lead.png", "a,b.png", "plain.png"}
    assert set(rows) - {path for path, row in rows.items() if row.ok} == {"missing.png"}
    assert all(row.ok for row in read(cases / "s03_txt_bom_crlf" / "list.txt").values())


def test_a_large_table_with_newlines(cases: Path, tmp_path: Path) -> None:
    shutil.copytree(cases / "s14_csv_newlines_large", tmp_path / "case")
    (tmp_path / "case").chmod(0o755)
    subprocess.run([sys.executable, "make.py"], cwd=tmp_path / "case", check=True, timeout=60)
    rows = read(tmp_path / "case" / "t.csv")
    assert [row.ok for row in rows.values()] == [True, True]
    assert rows["y.png"].source_attribution == "Ann Example,\nStreet 1, Bonn, Germany"
