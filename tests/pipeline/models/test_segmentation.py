"""SAM is loaded once, by kind, without unpickling code."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from standins import profile

from pipeline.config import MaskSettings, ModelRef, UserError
from pipeline.models.resolve import Model
from pipeline.models.segmentation import segment
from pipeline.models.segmenters.segment_anything import predictor


def test_a_predictor_per_thread_around_one_sam(standins: Path) -> None:
    model = Model(profile(standins).models.sam, str(standins))
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(predictor, model).result()
    mine = predictor(model)
    assert mine is predictor(model)
    assert mine is not other
    assert mine.model is other.model
    mine.set_image(np.zeros((64, 64, 3), np.uint8))
    assert not other.is_image_set


def sam(root: Path, **changes: object) -> Model:
    ref = ModelRef(repo="a/sam", license="Apache-2.0", checkpoint="sam.pth", kind="vit_b")
    return Model(ref.model_copy(update=changes), str(root))


def test_an_unknown_kind_is_the_user_s_mistake(tmp_path: Path) -> None:
    (tmp_path / "a" / "sam").mkdir(parents=True)
    image, pose = np.zeros((64, 64, 3), np.uint8), np.full((18, 3), 0.5)
    with pytest.raises(UserError, match=r"kind 'vit_x' is none of tiny, default, vit_h, vit_l, vit_b, sam2"):
        segment(sam(tmp_path, kind="vit_x"), image, pose, MaskSettings())


class Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemError('the checkpoint ran code')",))


def test_a_checkpoint_that_carries_code_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a" / "sam").mkdir(parents=True)
    torch.save({"weights": Harmful()}, tmp_path / "a" / "sam" / "sam.pth")
    with pytest.raises(Exception, match=r"[Ww]eights.only"):
        predictor(sam(tmp_path))
