"""One call for all pose networks; the profile's ``kind`` says which it is."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.config import ModelRef, UserError
from pipeline.models.extractors import confident, people
from pipeline.models.resolve import Model


@pytest.mark.parametrize("kind", [None, "mediapipe"])
def test_an_unknown_kind_is_the_user_s_mistake(kind: str | None) -> None:
    model = Model(ModelRef(repo="a/pose", license="MIT", kind=kind))
    with pytest.raises(UserError, match=rf"a/pose: kind {kind!r}.* none of tiny, openpose, blazepose, vitpose") as told:
        people(model, np.zeros((64, 64, 3), np.uint8))
    assert "\n" not in str(told.value)


def test_ghosts_are_not_people() -> None:
    sure = np.full((18, 3), 0.9)
    few, faint = sure.copy(), sure.copy()
    few[4:] = 0
    faint[:, 2] = 0.2
    nobody = np.zeros((18, 3))
    poses = [sure, few, faint, nobody]
    assert confident(poses, 0, 0.0) == poses
    assert confident(poses, 5, 0.3) == [sure]
    assert confident(poses, 4, 0.3) == [sure, few]
