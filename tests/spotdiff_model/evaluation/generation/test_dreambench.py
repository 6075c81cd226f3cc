"""DreamBench on a tiny stand-in folder: the layout, the prompts, the scores."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pipeline.config import UserError
from spotdiff_model.evaluation.generation.dreambench import bench_requests, read_subjects, score_dreambench


@pytest.fixture
def folder(tmp_path):
    """Two real pictures each of a dog and a teapot, and what else lies in the repository."""
    for name, color in (("dog6", (200, 0, 0)), ("teapot", (0, 200, 0))):
        (tmp_path / "dataset" / name).mkdir(parents=True)
        for at in range(2):
            Image.new("RGB", (40, 30), color).save(tmp_path / "dataset" / name / f"{at:02d}.jpg")
    (tmp_path / "dataset" / "prompts_and_classes.txt").write_text("...")
    (tmp_path / "dataset" / "unknown").mkdir()
    return tmp_path


def colors(images):
    """Embeds a picture as its mean colour, of unit length."""
    means = np.array([np.asarray(image).reshape(-1, 3).mean(axis=0) + 1e-6 for image in images])
    return means / np.linalg.norm(means, axis=1, keepdims=True)


def words(texts):
    return np.array([(1.0, 0, 0) if "dog" in text else (0, 1.0, 0) for text in texts])


def test_subjects_are_read_with_class_and_prompts_of_their_kind(folder):
    dog, teapot = read_subjects(folder)
    assert (dog.name, dog.class_noun, dog.live, len(dog.pictures)) == ("dog6", "dog", True, 2)
    assert (teapot.class_noun, teapot.live) == ("teapot", False)
    asked = list(bench_requests([dog, teapot], images=4))
    assert len(asked) == 2 * 25
    assert asked[0].prompt == "a S* in the jungle"
    assert asked[0].spoken == "a dog in the jungle"
    said = {request.subject.name: {r.prompt for r in asked if r.subject is request.subject} for request in asked}
    assert "a S* in a chef outfit" in said["dog6"] and "a S* in a chef outfit" not in said["teapot"]
    assert "a S* on top of a mirror" in said["teapot"] and "a S* on top of a mirror" not in said["dog6"]
    assert len({seed for request in asked for seed in request.seeds}) == 2 * 25 * 4
    assert read_subjects(folder / "dataset") == [dog, teapot]


def test_faithful_pictures_score_higher_than_others(folder):
    def copying(reference, prompt, seeds):
        return [reference] * len(seeds)

    def grey(reference, prompt, seeds):
        return [Image.new("RGB", (8, 8), (0, 0, 200))] * len(seeds)

    subjects = read_subjects(folder)
    good, bad = (score_dreambench(subjects, m, colors, words, side=16, images=1, dino=colors) for m in (copying, grey))
    assert good["mean"]["clip_i"] == pytest.approx(1, abs=0.01) and good["mean"]["dino"] > 0.99
    assert good["mean"]["clip_t"] > 0.99
    assert bad["mean"]["clip_i"] < 0.1 and bad["mean"]["clip_t"] < 0.1
    assert set(good["subjects"]) == {"dog6", "teapot"}


def test_a_wrong_folder_is_told_in_a_line(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        read_subjects(tmp_path / "none")
    with pytest.raises(UserError, match="none of the benchmark's 30 subjects"):
        read_subjects(tmp_path)
