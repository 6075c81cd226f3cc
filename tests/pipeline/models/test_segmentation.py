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
from pipeline.models.segmentation import segment, segment_all
from pipeline.models.segmenters.segment_anything import predictor
from pipeline.tiny.sam import SamConfig, new_sam


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


@pytest.fixture
def small_vit_b(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint of segment-anything's own class, small; the registry's own is 375 MB."""
    from segment_anything import sam_model_registry

    config = SamConfig(image_size=64, embed_dim=32, num_heads=2, depth=2, global_attn_indexes=(1,), prompt_dim=32)
    monkeypatch.setitem(sam_model_registry, "vit_b", lambda: new_sam(config))
    (tmp_path / "a" / "sam").mkdir(parents=True)
    torch.manual_seed(0)
    torch.save(new_sam(config).state_dict(), tmp_path / "a" / "sam" / "sam.pth")
    return tmp_path


def three() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Pictures and poses, one of few joints."""
    random = np.random.default_rng(0)
    images = list(random.integers(0, 256, (3, 64, 64, 3), np.uint8))
    poses = list(random.uniform(0.2, 0.8, (3, 18, 3)))
    poses[1][4:] = 0
    return images, poses


def test_many_pictures_are_encoded_at_once_and_segmented_as_one_by_one(
    small_vit_b: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, poses = three()
    alone = [segment(sam(small_vit_b), *one, MaskSettings()) for one in zip(images, poses, strict=True)]
    batched = sam(small_vit_b, batch_size=2)
    encoder = predictor(batched).model.image_encoder
    seen, real = [], encoder.forward
    monkeypatch.setattr(encoder, "forward", lambda x: (seen.append(len(x)), real(x))[1])
    for one, other in zip(segment_all(batched, images, poses, MaskSettings()), alone, strict=True):
        assert (one.mask == other.mask).mean() > 0.999
        assert one.score == pytest.approx(other.score, abs=1e-4)
    assert seen == [2, 1]


def test_half_precision_is_the_encoder_s_alone(small_vit_b: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU: the encoder runs under autocast, what comes after in float32."""
    monkeypatch.setattr("pipeline.models.segmenters.segment_anything.dtype_of", lambda ref: getattr(torch, ref.dtype))
    images, poses = three()
    half = sam(small_vit_b, dtype="bfloat16")
    inside = []
    encoder = predictor(half).model.image_encoder
    real = encoder.forward
    monkeypatch.setattr(encoder, "forward", lambda x: (inside.append(torch.is_autocast_enabled("cpu")), real(x))[1])
    found = segment(half, images[0], poses[0], MaskSettings())
    full = segment(sam(small_vit_b), images[0], poses[0], MaskSettings())
    assert inside == [True]
    assert predictor(half).features.dtype == torch.float32
    assert found.score == pytest.approx(full.score, abs=0.02)


def test_truncated_weights_end_the_build_in_one_line(small_vit_b: Path) -> None:
    path = small_vit_b / "a" / "sam" / "sam.pth"
    path.write_bytes(path.read_bytes()[:2000])
    images, poses = three()
    with pytest.raises(UserError, match=r"model a/sam: cannot be loaded .*get them again") as told:
        segment_all(sam(small_vit_b), images, poses, MaskSettings())
    assert "\n" not in str(told.value)
