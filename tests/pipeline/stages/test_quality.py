"""The gates: what is good passes, each fault is rejected with its own reason, and every score is kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_rows import pair, pixels, png, subject, variation, whole_body
from standins import profile

from pipeline.config import QualitySettings, load_profile
from pipeline.models.clip import clip
from pipeline.models.resolve import Model
from pipeline.records import Reason, Status, Subject
from pipeline.stages.quality import DistinctSubjects, JudgeSubjects, JudgeVariations
from tinyworld.world.render import render_seed

STRICT = QualitySettings(
    min_pose_score=0.7,
    min_mask_score=0.6,
    min_mask_area=0.02,
    max_mask_area=0.85,
    min_main_component=0.9,
    min_keypoints_in_mask=0.7,
    min_clip_t_subject=-1,
    min_sibling_distance=2,
    min_subject_kept=0.9,
    min_clip_t_background=-1,
    min_image_std=0.01,
)
MIRROR = [0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 15, 14, 17, 16]
"""Left and right joints swapped."""


def strict(**changes: Any) -> QualitySettings:
    return STRICT.model_copy(update=changes)


@pytest.fixture
def eye(standins: Path) -> Model:
    """A CLIP that knows nothing; its scores are cosines all the same."""
    return Model(profile(standins).models.clip, str(standins))


@pytest.fixture
def judge(weights: Path, eye: Model) -> JudgeSubjects:
    """Measures poses with the trained extractor."""
    return JudgeSubjects(STRICT, Model(load_profile("tiny").models.pose), eye)


@pytest.fixture
def good(judge: JudgeSubjects) -> Subject:
    """A figure that the extractor reads well."""
    rows = judge.process([subject(seed) for seed in whole_body(700, 12)])
    return next(subject(int(row.source_id, 16)) for row in rows if row.ok and (row.pose_score or 0) > 0.9)


def test_most_true_figures_pass_with_all_their_scores(judge: JudgeSubjects, eye: Model) -> None:
    rows = judge.process([subject(seed) for seed in whole_body(700, 12)])
    assert sum(row.ok for row in rows) >= 9
    for row in rows:
        assert row.pose_score is not None
        assert row.people is not None
        assert 0 <= row.pose_score <= 1
    images = np.stack([pixels(row.subject_image).astype(np.uint8) for row in rows])
    expected = clip(eye).scores(images, [row.subject_prompt for row in rows])
    assert [row.clip_t_subject for row in rows] == pytest.approx(expected, abs=1e-5)


def one(judge: JudgeSubjects, row: Subject) -> Subject:
    (judged,) = judge.process([row])
    assert None not in (judged.pose_score, judged.people, judged.clip_t_subject, judged.mask_area, judged.mask_score)
    return judged


def test_another_pose_is_not_the_asked_one(judge: JudgeSubjects, good: Subject) -> None:
    other = next(s for s in whole_body(800, 20) if np.abs(_pose(subject(s)) - _pose(good))[:, :2].max() > 0.3)
    row = one(judge, replace(good, keypoints=subject(other).keypoints))
    assert row.reason is Reason.POSE_NOT_KEPT
    assert row.pose_score is not None
    assert row.pose_score < 0.7


def test_left_and_right_swapped_is_not_the_asked_pose(judge: JudgeSubjects, good: Subject) -> None:
    right, swapped = one(judge, good), one(judge, replace(good, keypoints=_pose(good)[MIRROR].tolist()))
    assert right.ok
    assert swapped.reason is Reason.POSE_NOT_KEPT


def test_nobody_and_two_people_are_not_one_person(judge: JudgeSubjects, good: Subject) -> None:
    empty = render_seed(int(good.source_id, 16)).background_image
    nobody = one(judge, replace(good, subject_image=png(empty)))
    assert (nobody.people, nobody.pose_score, nobody.reason) == (0, 0.0, Reason.NOT_ONE_PERSON)
    image, poses, _ = pair()
    two = one(judge, replace(good, subject_image=image, keypoints=poses[1].tolist()))
    assert (two.people, two.reason) == (2, Reason.NOT_ONE_PERSON)
    assert two.pose_score is not None
    assert two.pose_score > 0.7  # the asked one is among them


def mask(rows: slice, columns: slice) -> bytes:
    made = np.zeros((64, 64), bool)
    made[rows, columns] = True
    return png(made)


def torn(row: Subject) -> bytes:
    found = pixels(row.mask) > 127
    middle = np.flatnonzero(found.any(axis=1)).mean().astype(int)
    found[middle - 2 : middle + 2] = False
    return png(found)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"mask_area": 0.01}, Reason.MASK_TOO_SMALL),
        ({"mask_area": 0.9}, Reason.MASK_TOO_LARGE),
        ({"mask": torn}, Reason.MASK_IN_PIECES),
        ({"mask": lambda row: mask(slice(0, 8), slice(0, 8))}, Reason.MASK_MISSES_KEYPOINTS),
        ({"mask": lambda row: mask(slice(0, 0), slice(0, 0)), "mask_area": 0.0}, Reason.MASK_TOO_SMALL),
        ({"mask_score": 0.5}, Reason.MASK_UNSURE),
    ],
)
def test_each_fault_of_a_mask_has_its_reason(
    judge: JudgeSubjects, good: Subject, changes: dict[str, Any], reason: Reason
) -> None:
    made = {name: value(good) if callable(value) else value for name, value in changes.items()}
    row = one(judge, replace(good, **made))
    assert (row.status, row.reason) == (Status.REJECTED, reason)


def test_a_figure_that_misses_its_prompt_is_rejected(judge: JudgeSubjects, good: Subject) -> None:
    score = one(judge, good).clip_t_subject
    assert score is not None
    for limit, reason in ((score - 0.01, None), (score + 0.01, Reason.SUBJECT_PROMPT_MISSED)):
        assert one(replace(judge, quality=strict(min_clip_t_subject=limit)), good).reason is reason


def test_a_subject_like_an_accepted_sibling_is_rejected() -> None:
    first, twin, other = subject(1), replace(subject(1), subject_id="subject-002"), subject(3)
    distinct = DistinctSubjects(min_distance=2)
    assert distinct.judge(first, []).ok
    assert distinct.judge(other, [first]).ok
    row = distinct.judge(twin, [other, first])
    assert (row.reason, row.detail) == (Reason.SUBJECT_NEAR_DUPLICATE, "of subject-001")
    assert DistinctSubjects(min_distance=0).judge(twin, [first]).ok


@pytest.fixture
def variations(eye: Model) -> JudgeVariations:
    return JudgeVariations(STRICT, eye)


def test_a_true_picture_passes_and_its_subject_is_kept_exactly(variations: JudgeVariations, eye: Model) -> None:
    rows = variations.process([variation(1), variation(2)])
    assert [row.status for row in rows] == [Status.OK, Status.OK]
    assert [row.subject_kept for row in rows] == [1.0, 1.0]
    images = np.stack([pixels(row.image).astype(np.uint8) for row in rows])
    expected = clip(eye).scores(images, [row.background_prompt for row in rows])
    assert [row.clip_t_background for row in rows] == pytest.approx(expected, abs=1e-5)


def test_only_what_is_in_the_mask_must_be_kept(variations: JudgeVariations) -> None:
    row = variation(1)
    inside = pixels(row.mask) > 127
    image = pixels(row.image).astype(np.uint8)
    outside, altered = image.copy(), image.copy()
    outside[~inside] = 255 - outside[~inside]
    altered[inside] = 255 - altered[inside]
    kept, lost = variations.process([replace(row, image=png(outside)), replace(row, image=png(altered))])
    assert (kept.ok, kept.subject_kept) == (True, 1.0)
    assert lost.reason is Reason.SUBJECT_NOT_KEPT
    expected = 1 - np.abs(2 * image[inside].astype(int) - 255).mean() / 255
    assert lost.subject_kept == pytest.approx(expected, abs=1e-6)
    assert lost.clip_t_background is not None


def test_without_a_mask_nothing_was_kept(variations: JudgeVariations) -> None:
    (row,) = variations.process([variation(1, mask=mask(slice(0, 0), slice(0, 0)))])
    assert (row.subject_kept, row.reason) == (0.0, Reason.SUBJECT_NOT_KEPT)


def test_a_flat_background_is_degenerate(variations: JudgeVariations) -> None:
    row = variation(1)
    image = pixels(row.image).astype(np.uint8)
    image[pixels(row.mask) <= 127] = (90, 90, 90)
    (flat,) = variations.process([replace(row, image=png(image))])
    assert flat.reason is Reason.DEGENERATE
    (allowed,) = replace(variations, quality=strict(min_image_std=0)).process([replace(row, image=png(image))])
    assert allowed.ok


def test_a_background_that_misses_its_prompt_is_rejected(variations: JudgeVariations) -> None:
    (scored,) = variations.process([variation(1)])
    score = scored.clip_t_background
    assert score is not None
    for limit, reason in ((score - 0.01, None), (score + 0.01, Reason.BACKGROUND_PROMPT_MISSED)):
        (row,) = replace(variations, quality=strict(min_clip_t_background=limit)).process([variation(1)])
        assert row.reason is reason


def test_each_judge_depends_on_its_own_limits_only(judge: JudgeSubjects, variations: JudgeVariations) -> None:
    subjects, backgrounds = judge.settings(), variations.settings()
    assert json.loads(json.dumps([subjects, backgrounds])) == [subjects, backgrounds]
    for name, value in STRICT.model_dump().items():
        changed = strict(**{name: (value or 0) + 1})
        moved = [
            replace(judge, quality=changed).settings() != subjects,
            replace(variations, quality=changed).settings() != backgrounds,
        ]
        theirs = name in ("min_subject_kept", "min_clip_t_background", "min_image_std")
        # the siblings' distance is DistinctSubjects' own, and the gates for photographs are JudgePhotos'
        elsewhere = name in ("min_sibling_distance", "max_mask_growth", "count_people", "max_seam")
        assert moved == [not theirs and not elsewhere, theirs]


def test_the_trained_clip_tells_backgrounds_apart(weights: Path) -> None:
    trained = JudgeVariations(STRICT, Model(load_profile("tiny").models.clip))
    seeds = range(910_000, 910_032)
    right = [row.clip_t_background or 0 for row in trained.process([variation(seed) for seed in seeds])]
    texts = [variation(seed).background_prompt for seed in seeds]
    wrong = [variation(seed, background_prompt=texts[(n + 11) % 32]) for n, seed in enumerate(seeds)]
    scores = [row.clip_t_background or 0 for row in trained.process(wrong)]
    different = [n for n in range(32) if texts[n] != texts[(n + 11) % 32]]
    assert np.mean([right[n] > scores[n] for n in different]) > 0.9


def _pose(row: Subject) -> np.ndarray:
    return np.asarray(row.keypoints)
