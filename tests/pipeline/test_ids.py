"""Ids, seeds and digests."""

from __future__ import annotations

import math
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import ids
from pipeline.arrow import from_table, to_table
from pipeline.config import Splits
from pipeline.records import Posed, Reason, Source, Subject

names = st.text(max_size=20)
points = st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=18, max_size=18)


def test_source_id_is_the_sha256_of_the_bytes() -> None:
    assert ids.source_id(b"abc") == "ba7816bf8f01cfea"


def test_values_stay_the_same_for_ever() -> None:
    """Other values would make every dataset and every fragment of earlier versions foreign."""
    assert ids.seed_for("ba7816bf8f01cfea", "subjects", "s1", "b1", 0, 0) == 4845378126241995597
    assert ids.variation_id("ba7816bf8f01cfea", "s1", "b1") == "3d6d70e69951d9ad"
    assert ids.pose_id("ba7816bf8f01cfea", [[0.1, 0.2, 1.0]] * 18) == "9815847a591c8b11"


@given(names, names, names, names, st.integers(0, 9), st.integers(0, 2**31))
def test_seed_is_63_bits(source: str, stage: str, subject: str, background: str, attempt: int, run_seed: int) -> None:
    assert 0 <= ids.seed_for(source, stage, subject, background, attempt, run_seed) < 2**63


@given(st.lists(names, min_size=3, max_size=3, unique=True), st.integers(0, 9))
def test_seed_depends_on_each_part_and_its_place(three: list[str], attempt: int) -> None:
    a, b, c = three
    seeds = {
        ids.seed_for(a, "x", b, c, attempt, 0),
        ids.seed_for(a, "x", c, b, attempt, 0),
        ids.seed_for(b, "x", a, c, attempt, 0),
        ids.seed_for(a, "x", b, c, attempt + 1, 0),
        ids.seed_for(a, "x", b, c, attempt, 1),
        ids.seed_for(a, "y", b, c, attempt, 0),
    }
    assert len(seeds) == 6


@given(names, names, names, names, names, names)
def test_variation_id_tells_all_triples_apart(a: str, b: str, c: str, d: str, e: str, f: str) -> None:
    assert (ids.variation_id(a, b, c) == ids.variation_id(d, e, f)) == ((a, b, c) == (d, e, f))


@given(names, points)
def test_pose_id_survives_storage_as_float32(source: str, keypoints: list[list[float]]) -> None:
    stored = np.asarray(keypoints, np.float32).tolist()
    assert ids.pose_id(source, keypoints) == ids.pose_id(source, stored)


def test_ids_do_not_depend_on_the_process() -> None:
    code = "from pipeline import ids; print(ids.seed_for('a', 'b', 'c', 'd', 1, 2))"
    seen = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert seen == {f"{ids.seed_for('a', 'b', 'c', 'd', 1, 2)}\n"}


def test_splits_have_their_shares_and_follow_the_seed() -> None:
    splits = Splits(validation=0.2, test=0.1)
    sources = [f"{number:016x}" for number in range(4000)]
    counts = Counter(ids.split_of(source, 0, splits) for source in sources)
    assert counts["test"] == pytest.approx(400, abs=80)
    assert counts["validation"] == pytest.approx(800, abs=110)
    assert any(ids.split_of(source, 0, splits) != ids.split_of(source, 1, splits) for source in sources)
    assert {ids.split_of(source, 0, Splits(validation=0, test=0)) for source in sources} == {"train"}
    assert {ids.split_of(source, 0, Splits(validation=0, test=1)) for source in sources} == {"test"}


@given(points, st.floats(allow_nan=True, allow_infinity=True), names, st.binary(max_size=9))
def test_row_digest_survives_parquet(keypoints: list[list[float]], score: float, path: str, image: bytes) -> None:
    row = Subject(source_id="s", path=path.encode("utf-8", "replace").decode(), keypoints=keypoints,
                  frame=[1, 0.1, score], pose_score=score, subject_image=image, subject_seed=2**62)  # fmt: skip
    (back,) = from_table(to_table([row], Subject), Subject)
    assert ids.row_digest(back) == ids.row_digest(row)


@pytest.mark.parametrize("items", [[], [{"ok": 1, "a": "ü"}], [["x", None], 1.5, "\udcff"]])
def test_a_digest_of_many_is_that_of_their_list(items: list[Any]) -> None:
    assert ids.digest_of_many(iter(items), ["more"]) == ids.digest([items, ["more"]])


def test_row_digest_sees_content_only() -> None:
    row = Source(source_id="s", path="a.png", source_image=b"x", source_license="CC0")
    assert ids.row_digest(replace(row, slot_digest="other", error="other")) == ids.row_digest(row)
    for change in ({"path": "b.png"}, {"source_image": b"y"}, {"source_license": None}, {"source_phash": "0"}):
        assert ids.row_digest(replace(row, **change)) != ids.row_digest(row)
    posed = row.grow(Posed)
    assert ids.row_digest(posed) != ids.row_digest(row)


def test_slot_digest_ignores_what_only_travels_along() -> None:
    slot = Subject(source_id="s", path="a.png", source_license="CC0", subject_id="x")
    assert ids.slot_digest(replace(slot, source_license="CC BY", path="b.png")) == ids.slot_digest(slot)
    assert ids.slot_digest(replace(slot, subject_prompt="other")) != ids.slot_digest(slot)
    posed = Posed(source_id="s", path="a.png")  # poses are looked up by path
    assert ids.slot_digest(replace(posed, path="b.png")) != ids.slot_digest(posed)


def test_rows_digest_is_of_the_rows_that_go_on() -> None:
    good, bad = Source(source_id="a", path="a"), Source(source_id="b", path="b").reject(Reason.UNREADABLE)
    assert ids.rows_digest([good, bad]) == ids.rows_digest([good])
    assert ids.rows_digest([good, replace(good, path="c")]) != ids.rows_digest([replace(good, path="c"), good])


def test_floats_too_large_for_float32_are_infinite() -> None:
    row = Subject(source_id="s", path="p", pose_score=1e300)
    assert ids.row_digest(row) == ids.row_digest(replace(row, pose_score=math.inf))
