"""Inpainting: everything but the subject is repainted, and the subject's own pixels come back."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from made_rows import pixels, subject
from PIL import Image
from standins import profile

from pipeline import banks, ids
from pipeline.imaging.phash import phash
from pipeline.models.diffusion import background_denoiser
from pipeline.models.resolve import Model
from pipeline.records import Variation
from pipeline.stages.backgrounds import InpaintBackgrounds


@pytest.fixture
def stage(standins: Path) -> InpaintBackgrounds:
    made = profile(standins, backgrounds={"feather": 0})
    return InpaintBackgrounds(
        backgrounds=made.backgrounds,
        inpaint=Model(made.models.inpaint, str(standins)),
        scheduler=made.scheduler,
        bank=banks.load("tiny_backgrounds.json"),
        count=3,
        seed=7,
    )


def make(stage: InpaintBackgrounds, rows: list[Variation]) -> list[Variation]:
    return stage.finish(rows, stage.denoise(rows))


def mask_of(row: Variation) -> np.ndarray:
    return pixels(row.mask) > 127


def having(stage: InpaintBackgrounds, **changes: Any) -> InpaintBackgrounds:
    return replace(stage, backgrounds=stage.backgrounds.model_copy(update=changes))


def test_slots_pair_every_subject_with_the_source_s_backgrounds(stage: InpaintBackgrounds) -> None:
    one, other = subject(1), replace(subject(2), source_id=subject(1).source_id)
    slots = stage.expand([one, other, replace(subject(3), split="test")])
    assert [(slot.subject_id, slot.split) for slot in slots[::3]] == [
        (one.subject_id, "train"), (other.subject_id, "train"), ("subject-003", "test")
    ]  # fmt: skip
    assert [s.background_id for s in slots[:3]] == [s.background_id for s in slots[3:6]]  # a factorial: each with each
    bank = {entry.id: entry for entry in stage.bank.entries}
    assert [bank[slot.background_id].split for slot in slots] == ["train"] * 6 + ["test"] * 3
    for slot in slots:
        assert slot.background_prompt == bank[slot.background_id].prompt
        assert slot.prompt == f"{slot.subject_prompt}, {slot.background_prompt}"
        assert slot.variation_id == ids.variation_id(slot.source_id, slot.subject_id, slot.background_id)
    assert len({str(slot) for slot in slots}) == 9


def test_the_subject_s_pixels_are_kept_and_all_others_are_painted(stage: InpaintBackgrounds) -> None:
    for row in make(stage, stage.expand([subject(1)])):
        kept, image, before = mask_of(row), pixels(row.image), pixels(row.subject_image)
        assert np.array_equal(image[kept], before[kept])
        assert np.abs(image[~kept] - before[~kept]).mean() > 20
        assert image.shape == (64, 64, 3)


def test_the_seam_is_feathered(stage: InpaintBackgrounds) -> None:
    slots = stage.expand([subject(1)])[:1]
    (hard,), (soft,) = make(stage, slots), make(having(stage, feather=1.5 / 64), slots)
    mask = mask_of(hard)
    deep = cv2.erode(mask.astype(np.uint8), np.ones((13, 13))) > 0
    rim = mask & (cv2.erode(mask.astype(np.uint8), np.ones((3, 3))) == 0)
    assert deep.any()
    assert np.array_equal(pixels(soft.image)[deep | ~mask], pixels(hard.image)[deep | ~mask])
    before, mixed = pixels(hard.subject_image)[rim], pixels(soft.image)[rim]
    assert np.array_equal(pixels(hard.image)[rim], before)
    assert 5 < np.abs(mixed - before).mean() < 100


def test_the_margin_keeps_a_rim_around_the_subject(stage: InpaintBackgrounds) -> None:
    (row,) = make(having(stage, mask_margin=2 / 64), stage.expand([subject(1)])[:1])
    rim = cv2.dilate(mask_of(row).astype(np.uint8), np.ones((3, 3))) > 0
    assert np.array_equal(pixels(row.image)[rim], pixels(row.subject_image)[rim])


def test_what_is_painted_is_the_plain_pipeline_s(stage: InpaintBackgrounds, standins: Path) -> None:
    """Masked latents handed over instead of a masked picture: the same as diffusers does from pictures and prompts."""
    from diffusers import DPMSolverMultistepScheduler, StableDiffusionInpaintPipeline

    plain = StableDiffusionInpaintPipeline.from_pretrained(standins / "stand-in" / "inpainting", safety_checker=None)
    plain.scheduler = DPMSolverMultistepScheduler.from_config(plain.scheduler.config)
    guided = having(stage, guidance_scale=2.0, negative_prompt="blurry", num_inference_steps=3)
    slots = guided.expand([subject(1), replace(subject(2), source_id=subject(1).source_id)])[1:5]
    for row in make(guided, slots):
        painted = plain(
            prompt=row.prompt,
            negative_prompt="blurry",
            image=Image.fromarray(pixels(row.subject_image).astype(np.uint8)),
            mask_image=Image.fromarray((~mask_of(row)).astype(np.uint8) * 255),
            height=64,
            width=64,
            num_inference_steps=3,
            guidance_scale=2.0,
            generator=torch.Generator("cpu").manual_seed(row.background_seed),
        ).images[0]
        outside = ~mask_of(row)
        difference = np.abs(pixels(row.image)[outside] - np.asarray(painted).astype(int)[outside])
        assert difference.max() <= 2, str(row)


def test_the_model_sees_the_subject_and_not_the_old_background(stage: InpaintBackgrounds) -> None:
    slot = stage.expand([subject(1)])[0]
    mask, image = mask_of(slot), pixels(slot.subject_image).astype(np.uint8)
    elsewhere, inside = image.copy(), image.copy()
    elsewhere[~mask] = 255 - elsewhere[~mask]
    inside[mask] = 255 - inside[mask]

    def painted(picture: np.ndarray) -> np.ndarray:
        (row,) = make(stage, [replace(slot, subject_image=_png(picture))])
        return pixels(row.image)[~mask]

    assert np.array_equal(painted(elsewhere), painted(image))
    assert np.abs(painted(inside) - painted(image)).max() > 1


def test_a_subject_is_encoded_once_for_all_its_backgrounds(
    stage: InpaintBackgrounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    vae = background_denoiser(stage.inpaint, stage.scheduler).pipe.vae
    seen, real = [], vae.encode
    monkeypatch.setattr(vae, "encode", lambda x: (seen.append(len(x)), real(x))[1])
    slots = stage.expand([subject(31), replace(subject(32), source_id=subject(31).source_id)])
    make(stage, slots[:2])
    make(stage, slots[1:])
    assert seen == [1, 1]


def test_a_picture_does_not_depend_on_its_batch(stage: InpaintBackgrounds) -> None:
    slots = stage.expand([subject(1), replace(subject(2), source_id=subject(1).source_id)])
    together = {str(row): row for row in make(stage, slots)}
    for row in make(stage, [slots[4], slots[1]]):
        assert np.abs(pixels(row.image) - pixels(together[str(row)].image)).max() <= 1


def test_ids_and_hashes_are_the_picture_s(stage: InpaintBackgrounds) -> None:
    slots = stage.expand([subject(1)])
    rows = make(stage, [replace(slots[0], attempt=2), *slots[1:]])
    for row, attempt in zip(rows, (2, 0, 0), strict=True):
        assert row.image is not None
        assert row.sha256 == hashlib.sha256(row.image).hexdigest()
        assert row.phash == phash(Image.fromarray(pixels(row.image).astype(np.uint8)))
        assert row.background_seed == ids.seed_for(
            row.source_id, "variations", row.subject_id, row.background_id, attempt, 7
        )
    assert len({row.image for row in rows}) == 3


def test_prompt_and_attempt_each_change_the_picture(stage: InpaintBackgrounds) -> None:
    slot = stage.expand([subject(1)])[0]
    others = [replace(slot, prompt="something else"), replace(slot, attempt=1)]
    assert len({make(stage, [row])[0].sha256 for row in (slot, *others)}) == 3


def test_settings_change_with_what_the_pictures_depend_on(stage: InpaintBackgrounds) -> None:
    before = stage.settings()
    assert json.loads(json.dumps(before)) == before
    changed = [replace(stage, seed=8), replace(stage, count=5), having(stage, feather=0.1)]
    assert len({json.dumps(other.settings()) for other in (stage, *changed)}) == 4


def _png(picture: np.ndarray) -> bytes:
    from pipeline.imaging.png import to_png

    return to_png(Image.fromarray(picture))
