"""The judges of colours: right on real renders, wrong on wrong pictures."""

import numpy as np
import pytest

from tinyworld.judges.colors import bottom_color, shirt_color
from tinyworld.training.renders import EVALUATION_SEED
from tinyworld.world.render import sample_scene


def share(judge, renders, field):
    wearing = [getattr(sample_scene(EVALUATION_SEED + i).identity, field) for i in range(len(renders))]
    found = [judge(i, k) for i, k in zip(renders.images, renders.keypoints, strict=True)]
    seen = [(a, b) for a, b in zip(found, wearing, strict=True) if a]
    return len(seen) / len(renders), np.mean([a == b for a, b in seen])


@pytest.mark.parametrize(("judge", "field"), [(shirt_color, "shirt_color"), (bottom_color, "bottom_color")])
def test_colours_of_renders_are_read_at_the_joints(held_out, judge, field):
    visible, right = share(judge, held_out, field)
    assert visible > 0.5
    assert right > 0.95


def test_a_colour_that_cannot_be_seen_is_not_guessed(held_out):
    assert shirt_color(held_out.images[0], np.zeros((18, 3))) is None
    assert bottom_color(held_out.images[0], np.zeros((18, 3))) is None


def test_wrong_colours_are_called_wrong(held_out):
    _, right = share(lambda image, keypoints: shirt_color(image[:, :, ::-1], keypoints), held_out, "shirt_color")
    assert right < 0.6  # black, white, green and purple survive a swap of red and blue
