"""Generating subjects: the asked pose and prompt, one seed per image, nothing of the source but its pose."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_rows import pixels, posed
from standins import profile

from pipeline import banks, ids
from pipeline.config import SubjectSettings
from pipeline.imaging.png import to_png
from pipeline.imaging.skeleton import draw_pose
from pipeline.models.resolve import Model
from pipeline.records import Subject
from pipeline.stages.subjects import GenerateSubjects


@pytest.fixture
def stage(standins: Path) -> GenerateSubjects:
    made = profile(standins)
    root = str(standins)
    return GenerateSubjects(
        subjects=made.subjects,
        base=Model(made.models.base, root),
        controlnet=Model(made.models.controlnet, root),
        scheduler=made.scheduler,
        bank=banks.load("tiny_subjects.json"),
        count=4,
        seed=7,
    )


def make(stage: GenerateSubjects, rows: list[Subject]) -> list[Subject]:
    return stage.finish(rows, stage.denoise(rows))


def test_slots_are_drawn_from_the_split_s_part_of_the_bank(stage: GenerateSubjects) -> None:
    slots = stage.expand([posed(1), posed(2, split="test")])
    bank = {entry.id: entry for entry in stage.bank.entries}
    assert [slot.source_id for slot in slots] == [posed(1).source_id] * 4 + [posed(2).source_id] * 4
    assert [bank[slot.subject_id].split for slot in slots] == ["train"] * 4 + ["test"] * 4
    assert len({str(slot) for slot in slots}) == 8
    for slot in slots:
        assert slot.subject_prompt == bank[slot.subject_id].prompt
        assert slot.source_image is None  # nobody's picture travels further than the poses
        assert (slot.subject_image, slot.subject_attempt) == (None, 0)
        assert slot.keypoints == posed(1 if slot.split == "train" else 2).keypoints


def test_pictures_have_the_size_of_the_control_and_their_own_seeds(stage: GenerateSubjects) -> None:
    slots = stage.expand([posed(1)])
    rows = make(stage, slots)
    assert [str(row) for row in rows] == [str(slot) for slot in slots]
    assert all(pixels(row.subject_image).shape == (64, 64, 3) for row in rows)
    assert [row.subject_seed for row in rows] == [
        ids.seed_for(slot.source_id, "subjects", slot.subject_id, "", 0, 7) for slot in slots
    ]
    assert len({row.subject_image for row in rows}) == 4
    assert [row.subject_image for row in make(stage, slots)] == [row.subject_image for row in rows]


def test_a_picture_does_not_depend_on_its_batch(stage: GenerateSubjects) -> None:
    slots = stage.expand([posed(1)])
    together, alone = make(stage, slots), make(stage, slots[2:3])
    assert alone[0].subject_seed == together[2].subject_seed
    assert np.abs(pixels(alone[0].subject_image) - pixels(together[2].subject_image)).max() <= 1


def test_prompt_pose_attempt_and_run_seed_each_change_the_picture(stage: GenerateSubjects) -> None:
    slot = stage.expand([posed(1)])[0]
    turned = [[1 - x, y, c] for x, y, c in slot.keypoints]
    others = [
        make(stage, [replace(slot, subject_prompt="something else entirely")]),
        make(stage, [replace(slot, control=to_png(draw_pose(turned, 64, 0.03)))]),
        make(stage, [replace(slot, subject_attempt=1)]),
        make(replace(stage, seed=8), [slot]),
        make(replace(stage, subjects=stage.subjects.model_copy(update={"num_inference_steps": 3})), [slot]),
        make(replace(stage, subjects=stage.subjects.model_copy(update={"controlnet_conditioning_scale": 0.2})), [slot]),
        make(
            replace(stage, subjects=stage.subjects.model_copy(update={"prompt_template": "{subject} asleep"})), [slot]
        ),
    ]
    pictures = [make(stage, [slot])[0].subject_image, *(rows[0].subject_image for rows in others)]
    assert len({*pictures}) == len(pictures)


def test_the_negative_prompt_counts_where_there_is_guidance(stage: GenerateSubjects) -> None:
    def picture(guidance: float, negative: str) -> bytes | None:
        settings = stage.subjects.model_copy(update={"guidance_scale": guidance, "negative_prompt": negative})
        made = replace(stage, subjects=settings)
        return make(made, made.expand([posed(1)])[:1])[0].subject_image

    assert picture(3.0, "blurry") != picture(3.0, "")
    assert picture(1.0, "blurry") == picture(1.0, "")


def test_the_bank_s_negative_prompt_goes_before_the_profile_s(stage: GenerateSubjects) -> None:
    entries = tuple(entry.model_copy(update={"negative_prompt": "bearded"}) for entry in stage.bank.entries)
    settings = stage.subjects.model_copy(update={"negative_prompt": "blurry"})
    changed = replace(stage, bank=stage.bank.model_copy(update={"entries": entries}), subjects=settings)
    assert changed.expand([posed(1)])[0].subject_negative_prompt == "bearded, blurry"


def test_two_sources_in_a_batch_are_a_mistake_of_ours(stage: GenerateSubjects) -> None:
    with pytest.raises(AssertionError):
        stage.denoise(stage.expand([posed(1), posed(2)]))


def test_settings_change_with_what_the_pictures_depend_on(stage: GenerateSubjects) -> None:
    before = stage.settings()
    assert json.loads(json.dumps(before)) == before
    changed = [
        replace(stage, seed=8),
        replace(stage, count=5),
        replace(stage, controlnet=stage.base),
        replace(stage, scheduler=stage.scheduler.model_copy(update={"name": "DDIMScheduler"})),
        replace(stage, bank=stage.bank.model_copy(update={"entries": stage.bank.entries[1:]})),
        replace(stage, subjects=SubjectSettings(num_inference_steps=2, guidance_scale=2.5, batch_size=10)),
    ]
    settings = [json.dumps(other.settings()) for other in changed]
    assert len({json.dumps(before), *settings}) == 7
