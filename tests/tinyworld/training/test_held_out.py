"""What is measured is what a build makes: the same pictures, to the bit, as the stages give for the same scenes."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pipeline.config import BuildConfig, load_profile
from pipeline.imaging.png import from_png, to_png
from pipeline.imaging.skeleton import draw_pose
from pipeline.records import Subject, Variation
from pipeline.stages.recipe import recipe
from tinyworld.training.held_out import subject_images, variation_images
from tinyworld.training.renders import EVALUATION_SEED
from tinyworld.world import render_seed, sample_scene

NUMBERS = [3, 4]


@pytest.fixture(scope="module")
def profile():
    return load_profile("tiny")


@pytest.fixture(scope="module")
def stages(profile):
    config = BuildConfig(sources=("held-out",), manifest="held-out.parquet", subjects=1, backgrounds=1)
    return {stage.name: stage for stage in recipe(profile, config)}


def made(stage, rows):
    return stage.generate.finish(rows, stage.generate.denoise(rows))


def subject(profile, pose_seed, number):
    keypoints = render_seed(pose_seed).keypoints
    return Subject(
        source_id=f"{pose_seed:016x}",
        path="",
        subject_id=str(number),
        subject_prompt=sample_scene(EVALUATION_SEED + 100_000 + number).identity.prompt(),
        subject_negative_prompt=profile.subjects.negative_prompt,
        keypoints=keypoints.tolist(),
        control=to_png(draw_pose(keypoints, profile.sources.size, profile.poses.line_width)),
    )


def variation(profile, number):
    figure = render_seed(EVALUATION_SEED + number)
    background = sample_scene(EVALUATION_SEED + 50_000 + number).background.prompt()
    return replace(
        subject(profile, EVALUATION_SEED + number, 0).grow(Variation),
        source_id="held-out",
        subject_id=str(EVALUATION_SEED + number),
        subject_image=to_png(Image.fromarray(figure.image)),
        mask=to_png(Image.fromarray(figure.mask.astype(np.uint8) * 255)),
        background_id=str(EVALUATION_SEED + 50_000 + number),
        background_prompt=background,
        prompt=profile.backgrounds.prompt_template.format(subject=figure.identity.prompt(), background=background),
        negative_prompt=profile.backgrounds.negative_prompt,
    )


def test_subjects_are_those_of_a_build(profile, stages):
    rows = made(stages["subjects"], [subject(profile, EVALUATION_SEED, number) for number in NUMBERS])
    expected = np.stack([np.asarray(from_png(row.subject_image)) for row in rows])
    np.testing.assert_array_equal(subject_images(profile, EVALUATION_SEED, NUMBERS), expected)


def test_variations_are_those_of_a_build(profile, stages):
    rows = made(stages["variations"], [variation(profile, number) for number in NUMBERS])
    expected = np.stack([np.asarray(from_png(row.image)) for row in rows])
    np.testing.assert_array_equal(variation_images(profile, NUMBERS), expected)
