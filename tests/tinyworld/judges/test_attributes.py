"""The judges of attributes on exact renders."""

from __future__ import annotations

import numpy as np

from tinyworld.judges.attributes import JUDGED, grow_judges


def test_the_pixel_judges_are_right_on_exact_renders():
    judges = grow_judges(scenes=400, held_out=80, trees=60)
    assert set(judges.ceilings) == set(JUDGED)
    assert min(judges.ceilings.values()) > 0.75  # with a third of the usual renders
    assert np.mean(list(judges.ceilings.values())) > 0.88
