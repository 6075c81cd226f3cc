"""The judge of backgrounds: right on real renders, wrong on wrong pictures."""

import numpy as np

from tinyworld.judges.backgrounds import BackgroundJudge
from tinyworld.training.renders import EVALUATION_SEED, load_renders
from tinyworld.world.render import sample_scene


def test_backgrounds_are_told_by_what_is_visible_of_them(held_out, tmp_path):
    judge = BackgroundJudge(load_renders(tmp_path, 600, 0, workers=1))
    kinds = np.array([sample_scene(EVALUATION_SEED + i).background.kind for i in range(len(held_out))])
    assert np.mean(judge.kinds(held_out.images, held_out.masks) == kinds) > 0.85
    assert np.mean(judge.kinds(held_out.images[::-1], held_out.masks[::-1]) == kinds) < 0.3
