"""The stages know no size: models shaped like Stable Diffusion 1.5 (eightfold autoencoder) go through the same code."""

from __future__ import annotations

import numpy as np
import pytest
from made_rows import pixels, posed
from standins import SD15, profile, write_standins

from pipeline.config import build_config
from pipeline.imaging.png import to_png
from pipeline.imaging.skeleton import draw_pose
from pipeline.stages.recipe import recipe
from pipeline.stages.rounds import Rounds


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> tuple[Rounds, Rounds]:
    root = write_standins(tmp_path_factory.mktemp("sd15"), SD15)
    told = {"sources": ("photos",), "manifest": "v1.parquet", "models_root": str(root), "subjects": 2, "backgrounds": 2}
    _, _, subjects, variations = recipe(profile(root, SD15), build_config(**told))
    assert isinstance(subjects, Rounds)
    assert isinstance(variations, Rounds)
    return subjects, variations


def test_a_source_becomes_subjects_and_variations(stages: tuple[Rounds, Rounds]) -> None:
    subjects, variations = stages
    source = posed(1)
    source = posed(1, control=to_png(draw_pose(source.keypoints, 128, 0.016)))
    slots = subjects.expand([source])
    rows = subjects.generate.finish(slots, subjects.generate.denoise(slots))
    rows = subjects.steps[0].process(rows)
    assert [pixels(row.subject_image).shape for row in rows] == [(128, 128, 3)] * 2
    assert [pixels(row.mask).shape for row in rows] == [(128, 128)] * 2
    made = list(variations.process(variations.expand(rows)))
    assert [row.status for row in made] == ["ok"] * 4, [row.error for row in made]
    for row in made:
        kept = pixels(row.mask) > 127
        assert pixels(row.image).shape == (128, 128, 3)
        assert np.abs(pixels(row.image)[~kept] - pixels(row.subject_image)[~kept]).mean() > 5 or kept.all()
        assert row.clip_t_background is not None
