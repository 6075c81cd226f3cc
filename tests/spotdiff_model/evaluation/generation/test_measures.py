"""The measures of pictures: an ideal generator, made of exact renders, passes; one that copies is found out."""

from __future__ import annotations

import io
import itertools
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from PIL import Image

from pipeline import banks
from pipeline.config import load_profile
from pipeline.models.clip import clip
from pipeline.models.resolve import Model
from spotdiff_model.evaluation.generation.generator import embed_images
from spotdiff_model.evaluation.generation.look_alikes import make_gallery
from spotdiff_model.evaluation.generation.measures import PictureModels, measure_pictures
from spotdiff_model.evaluation.generation.observe import Observer, Seen
from spotdiff_model.evaluation.generation.requests import EDITED, RequestSettings, make_requests
from spotdiff_model.evaluation.probes.factors import read_sample
from tinyworld.judges.attributes import grow_judges
from tinyworld.world import Background, Identity, Pose, draw_figure

SETTINGS = RequestSettings(subjects=5, backgrounds=2, poses=2, edits=1)
STANDING = Pose.from_keypoints(
    np.array([
        (0.5, 0.2), (0.5, 0.3), (0.42, 0.3), (0.36, 0.42), (0.33, 0.54), (0.58, 0.3), (0.64, 0.42), (0.67, 0.54),
        (0.45, 0.55), (0.44, 0.72), (0.44, 0.88), (0.55, 0.55), (0.56, 0.72), (0.56, 0.88), (0.48, 0.18), (0.52, 0.18),
        (0.45, 0.19), (0.55, 0.19),
    ])[:, [0, 1, 1]] * [1, 1, 0] + [0, 0, 1]
)  # fmt: skip


@pytest.fixture(scope="module")
def sample(rendered):
    return read_sample(str(rendered), "train")


@pytest.fixture(scope="module")
def requests(sample):
    return make_requests(sample, SETTINGS, seed=0)


@pytest.fixture(scope="module")
def judges():
    return grow_judges(scenes=400, held_out=80, trees=60)


def drawn(request, background=None):
    """An exact render of what was asked for, and where its figure is."""
    identity = Identity(**request.attributes)
    if request.part == "edit":
        identity = replace(identity, **EDITED)
    pose = STANDING if request.pose is None else Pose.from_keypoints(request.pose)
    bank = {entry.prompt: entry.attributes for entry in banks.load("tiny_backgrounds.json").entries}
    canvas = Background(**bank[background or request.background]).draw(np.random.default_rng(request.seed), 256)
    mask = Image.new("L", canvas.size)
    draw_figure(canvas, mask, pose.skeleton, identity, np.random.default_rng(1))
    return canvas.reduce(4), Seen(pose.keypoints, np.asarray(mask.reduce(4)) > 127)


def models_for(pictures, seen, judges, gallery=None):
    """Models that know where the figures are, so that only the measures are tested."""
    known = {picture.tobytes(): there for picture, there in zip(pictures, seen, strict=True)}
    model = clip(Model(load_profile("tiny").models.clip))
    return PictureModels(
        lambda p: known[p.tobytes()], partial(embed_images, model), model.text_features, pixels=judges, gallery=gallery
    )


def judged(requests, made, judges, gallery=None):
    pictures, seen = zip(*made, strict=True)
    return measure_pictures(requests, pictures, models_for(pictures, seen, judges, gallery))


@pytest.fixture(scope="module")
def ideal(requests, judges):
    return judged(requests, [drawn(request) for request in requests], judges)


@pytest.fixture(scope="module")
def copied(requests, judges):
    made = [(request.reference, Seen(request.reference_pose, request.reference_mask)) for request in requests]
    return judged(requests, made, judges)


def test_requests_ask_for_another_background_and_another_pose(requests, sample):
    assert {request.part for request in requests} == {"new_background", "new_pose", "edit"}
    for request in requests:
        assert request.background != request.reference_background
        assert request.background in request.prompt and request.prompt.startswith("S*")
        assert "S*" not in request.spoken
        if request.part == "new_pose":
            assert not np.array_equal(request.pose, request.reference_pose)
        else:
            assert request.pose is None
    assert len({request.subject for request in requests}) == SETTINGS.subjects
    again = make_requests(sample, SETTINGS, seed=0)
    assert [request.prompt for request in again] == [request.prompt for request in requests]
    assert [r.seed for r in make_requests(sample, SETTINGS, seed=1)] != [r.seed for r in requests]


def test_an_ideal_generator_keeps_the_subject_and_copies_nothing(ideal):
    for part in ("new_background", "new_pose"):
        assert ideal[f"generation/{part}/attributes_kept"] > 0.85
        assert ideal[f"generation/{part}/background_copy_rate"] < 0.15
    assert ideal["generation/new_pose/pose_followed"] == 1
    assert ideal["generation/new_pose/pose_copy_rate"] == ideal["generation/new_pose/pose_copy_chance"]
    assert ideal["generation/edit/edit_done"] > 0.5


def test_a_generator_that_copies_is_found_out(copied, ideal):
    assert copied["generation/new_pose/pose_copy_rate"] == 1
    assert copied["generation/new_background/background_copy_rate"] > 0.85
    assert copied["generation/new_background/clip_i"] == pytest.approx(1, abs=1e-4)
    assert copied["generation/new_background/internal_variance"] == pytest.approx(0, abs=1e-6)
    assert copied["generation/new_background/clip_t"] < ideal["generation/new_background/clip_t"]
    assert copied["generation/edit/edit_done"] < 0.3


WAYS = ("identity", "pose", "background")


def test_copy_geo_tells_truth_reference_and_a_leak_apart(requests, judges, sample):
    made = {request.number: drawn(request) for request in requests if request.part != "edit"}
    known = [
        replace(r, truth=made[r.number][0], truth_mask=made[r.number][1].mask) for r in requests if r.number in made
    ]
    gallery = make_gallery(sample, models_for([], [], judges).clip)
    perfect = judged(known, list(made.values()), judges, gallery)
    copying = judged(known, [(r.reference, Seen(r.reference_pose, r.reference_mask)) for r in known], judges, gallery)
    leaking = judged(known, [drawn(request, request.reference_background) for request in known], judges, gallery)
    shuffled = judged(known, [*list(made.values())[8:], *list(made.values())[:8]], judges, gallery)
    for way in WAYS:
        name = f"generation/new_pose/copy_geo_{way}"
        assert perfect[name] == pytest.approx(-1, abs=1e-3)
        assert copying[name] == pytest.approx(1, abs=1e-3)
        assert -0.6 < shuffled[name] < 0.6
    # what leaks is told by itself
    assert leaking["generation/new_pose/copy_geo_pose"] == pytest.approx(-1, abs=1e-3)
    assert leaking["generation/new_background/copy_geo_identity"] < -0.5
    assert leaking["generation/new_background/copy_geo_background"] > 0.2
    assert leaking["generation/new_background/background_copy_rate"] > 0.85
    found = [each["generation/new_pose/look_alike_map"] for each in (perfect, shuffled)]
    assert found[0] > found[1]
    assert 0 < shuffled["generation/new_background/attributes_kept_error"] < 0.2


def test_the_truth_is_the_cell_that_was_asked_for(requests, sample):
    for request in requests:
        assert len(request.examples) == len(request.example_ids) and request.example_ids[0] == request.reference_id
        if request.truth is None:
            continue
        row = int(np.flatnonzero(sample.ids == request.truth_id)[0])
        assert np.array_equal(np.asarray(request.truth), np.asarray(Image.open(io.BytesIO(sample.images[row]))))
        assert sample.factors.subject[row] == request.subject
        assert sample.background_prompts[row] == request.background
        assert request.truth_id not in request.example_ids
        if request.pose is not None:
            assert np.array_equal(sample.factors.keypoints[row], request.pose)
    assert any(request.truth is not None for request in requests)
    assert [request.number for request in requests] == list(range(len(requests)))


def test_somebody_else_is_not_taken_for_the_subject(requests, judges, ideal):
    others = [
        replace(r, attributes=dict(requests[(at + 5) % len(requests)].attributes)) for at, r in enumerate(requests)
    ]
    swapped = judged(requests, [drawn(request) for request in others], judges)
    assert swapped["generation/new_background/attributes_kept"] < 0.6
    assert swapped["generation/new_background/clip_i_masked"] < ideal["generation/new_background/clip_i_masked"]


def test_pictures_without_a_person_keep_nothing(requests, judges):
    empty = [(Image.new("RGB", (64, 64), (seed, 0, 0)), Seen(None, np.zeros((64, 64), bool))) for seed in range(25)]
    found = judged(requests, list(itertools.islice(itertools.cycle(empty), len(requests))), judges)
    assert found["generation/new_background/attributes_kept"] == 0
    assert found["generation/new_background/person_found"] == 0
    assert found["generation/new_pose/pose_copy_rate"] == 0


def test_people_are_found_and_cut_out_by_the_profiles_models(requests, weights):
    request = next(request for request in requests if (request.reference_pose[:, 2] > 0).sum() > 14)
    seen = Observer(load_profile("tiny")).see(request.reference)
    assert seen.pose is not None
    overlap = (seen.mask & request.reference_mask).sum() / (seen.mask | request.reference_mask).sum()
    assert overlap > 0.7
    empty = Observer(load_profile("tiny")).see(Image.new("RGB", (64, 64), (90, 140, 200)))
    assert empty.pose is None and not empty.mask.any()
