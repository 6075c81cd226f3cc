"""Pairs: different pictures of one subject, in batches that hold the hard negatives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spotdiff_model.data.pairs import TrainingPairs
from spotdiff_model.data.rows import Rows, read_rows


@pytest.fixture(scope="module")
def rows(rendered: Path) -> Rows:
    return read_rows(str(rendered)).of_split("train")


def test_a_pair_is_one_subject_elsewhere(rows: Rows) -> None:
    pairs = TrainingPairs(rows, 0, "other", augmentations=1)
    several = {s for s in rows.subject_id if len(set(rows.source_id[rows.subject_id == s])) > 1}
    assert several, "the dataset shows no subject in two poses"
    for step in range(5):
        batch = pairs.batch(step, 24)
        assert len(batch.references) == len(batch.targets) == 24
        assert (rows.subject_id[batch.references] == rows.subject_id[batch.targets]).all()
        assert (rows.background_id[batch.references] != rows.background_id[batch.targets]).all()
        moved = rows.source_id[batch.references] != rows.source_id[batch.targets]
        subjects = rows.subject_id[batch.references]
        free = np.array([len(_elsewhere(rows, place)) > 0 for place in batch.references])
        assert (moved == free).all()
        assert moved[np.isin(subjects, list(several)) & free].all()


def _elsewhere(rows: Rows, place: int) -> np.ndarray:
    same = rows.subject_id == rows.subject_id[place]
    moved = rows.source_id != rows.source_id[place]
    return np.flatnonzero(same & moved & (rows.background_id != rows.background_id[place]))


def test_batches_hold_hard_negatives(rows: Rows) -> None:
    """Same pose and background, other subject: what the hard gallery of the evaluation asks for."""
    batch = TrainingPairs(rows, 0, "other", augmentations=0).batch(3, 32)
    places = list(zip(rows.source_id[batch.references], rows.background_id[batch.references], strict=True))
    alone = sum(places.count(place) == 1 for place in places)
    assert alone < 8
    poses = {background: set() for _, background in places}
    for source, background in places:
        poses[background].add(source)
    assert any(len(found) > 1 for found in poses.values()), "no background in two poses"


def test_batches_depend_on_seed_and_step_alone(rows: Rows) -> None:
    pairs = TrainingPairs(rows, 0, "other", augmentations=1)
    pairs.batch(0, 16)
    again = TrainingPairs(rows, 0, "other", augmentations=1).batch(7, 16)
    for one, other in zip(vars(pairs.batch(7, 16)).values(), vars(again).values(), strict=True):
        assert np.array_equal(one, other)
    assert not np.array_equal(
        again.references, TrainingPairs(rows, 1, "other", augmentations=1).batch(7, 16).references
    )


def test_devices_share_a_batch(rows: Rows) -> None:
    whole = TrainingPairs(rows, 0, "other", augmentations=1).batch(2, 16)
    parts = [whole.part(number, 2) for number in (0, 1)]
    assert sorted(np.concatenate([part.references for part in parts])) == sorted(whole.references)
    assert [len(part.targets) for part in parts] == [8, 8]


def test_same_picture_as_reference_and_target(rows: Rows) -> None:
    batch = TrainingPairs(rows, 0, "same", augmentations=1).batch(0, 16)
    assert np.array_equal(batch.references, batch.targets)
    assert np.array_equal(batch.reference_augmentations, batch.target_augmentations)
