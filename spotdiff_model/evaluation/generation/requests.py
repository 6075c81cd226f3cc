"""What is asked of the generation: new backgrounds, new poses, an edit; the same requests for every encoder."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from spotdiff_model.evaluation.probes.factors import FactorLabels, Sample
from spotdiff_model.placeholder import PLACEHOLDER

PARTS = {"new_background": "new background", "new_pose": "new pose", "edit": "edit"}
"""Parts of the requests, with their titles."""
EDIT = "wearing a red hat"
EDITED = {"hat": "hat", "hat_color": "red"}
"""What the edit asks for, in the words of the subject bank's attributes."""
EXAMPLES = 4
"""Pictures of a subject, at most, for methods that are trained on it."""
CLASS_NOUN = "a person"
"""Said in the place of ``S*`` where a prompt is compared with a picture by CLIP."""


@dataclass(frozen=True, eq=False)
class Request:
    """One picture to generate.

    Attributes:
        part: One of :data:`PARTS`.
        subject: Its id.
        reference: The picture that shows the subject.
        reference_mask: ``[H, W]`` bool, the subject in it.
        reference_pose: ``[18, 3]`` keypoints of the reference.
        reference_background: What the reference's background is called.
        prompt: With ``S*``.
        description: The subject in the words of its bank.
        background: What the asked background is called.
        pose: ``[18, 3]`` keypoints that are asked for; None: left to the model.
        attributes: Of the subject, in the words of its bank.
        seed: Of the noise.
        reference_id: The reference's variation id.
        truth, truth_mask, truth_id: The real picture of the subject before the asked background (in the asked pose, if
            one is asked; else in another than the reference's where there is one); None where the split has none.
        examples, example_ids: Pictures of the subject for methods that are trained on it, the reference first; none of
            them is a truth.
        number: Its place in the list of requests.
    """

    part: str
    subject: str
    reference: Image.Image
    reference_mask: np.ndarray
    reference_pose: np.ndarray
    reference_background: str
    prompt: str
    description: str
    background: str
    pose: np.ndarray | None
    attributes: dict[str, str] = field(default_factory=dict)
    seed: int = 0
    reference_id: str = ""
    truth: Image.Image | None = None
    truth_mask: np.ndarray | None = None
    truth_id: str = ""
    examples: tuple[Image.Image, ...] = ()
    example_ids: tuple[str, ...] = ()
    number: int = 0

    @property
    def name(self) -> str:
        """What its picture is called in a folder of pictures."""
        return f"{self.number:05d}"

    @property
    def spoken(self) -> str:
        """The prompt with the class noun for ``S*``."""
        return self.prompt.replace(PLACEHOLDER, CLASS_NOUN)

    @property
    def text_prompt(self) -> str:
        """The prompt with the subject's description for ``S*``."""
        return self.prompt.replace(PLACEHOLDER, self.description)


@dataclass(frozen=True)
class RequestSettings:
    """How many pictures: for each of at most ``subjects`` subjects so many of each part."""

    subjects: int = 10
    backgrounds: int = 4
    poses: int = 4
    edits: int = 1

    def described(self) -> dict[str, Any]:
        """For metrics.json."""
        return {
            **vars(self),
            "prompts": {
                "new_background": f"{PLACEHOLDER}, <a background prompt of the split, another than the reference's>",
                "new_pose": f"{PLACEHOLDER}, <as above>, with the keypoints of another pose of the split (ControlNet)",
                "edit": f"{PLACEHOLDER} {EDIT}, <as above>",
            },
            "reference": "a picture of the subject, drawn by seed",
            "cells": "those of which the split has the true picture first",
            "class_noun": CLASS_NOUN,
        }


def make_requests(sample: Sample, settings: RequestSettings, seed: int) -> list[Request]:
    """The requests for a split, in a fixed order.

    Cells of which the split has the true picture come first; only where a subject has too few of them is something
    asked for that nobody knows.

    Args:
        sample: Of the judged split; references, backgrounds and poses are drawn from it.
        settings: How many.
        seed: Settles the draws, and the noise of each picture.
    """
    rng = np.random.default_rng(seed)
    subjects = np.unique(sample.factors.subject)
    if len(subjects) > settings.subjects:
        subjects = np.sort(rng.choice(subjects, settings.subjects, replace=False))
    requests: list[Request] = []
    for subject in subjects:
        requests += _of_subject(sample, subject, settings, rng, len(requests))
    return requests


@dataclass(frozen=True)
class _Cell:
    """What is asked for: a background by its prompt, a pose by its id, and the row that shows both, if there is one."""

    background: str
    pose: str | None
    truth: int | None


def _of_subject(
    sample: Sample, subject: str, settings: RequestSettings, rng: np.random.Generator, first: int
) -> list[Request]:
    factors = sample.factors
    own = np.flatnonzero(factors.subject == subject)
    row = int(rng.choice(own))
    counts = {"new_background": settings.backgrounds, "new_pose": settings.poses, "edit": settings.edits}
    cells = [(part, cell) for part, count in counts.items() for cell in _cells(sample, row, part, count, rng)]
    truths = {cell.truth for _, cell in cells}
    others = [int(place) for place in rng.permutation(own) if place != row and int(place) not in truths]
    examples = (row, *others[: EXAMPLES - 1])
    return [
        request_for(
            sample,
            row,
            part=part,
            background=cell.background,
            pose=_pose(factors, cell),
            truth=cell.truth,
            seed=int(rng.integers(2**31)),
            number=first + number,
            examples=examples,
        )
        for number, (part, cell) in enumerate(cells)
    ]


def _cells(sample: Sample, row: int, part: str, count: int, rng: np.random.Generator) -> list[_Cell]:
    factors, posed = sample.factors, part == "new_pose"
    elsewhere = (factors.subject == factors.subject[row]) & (
        sample.background_prompts != sample.background_prompts[row]
    )
    moved = elsewhere & (factors.pose != factors.pose[row])
    known: list[_Cell] = []
    for places in (moved,) if posed else (moved, elsewhere & ~moved):
        for place in rng.permutation(np.flatnonzero(places)):
            cell = _Cell(
                str(sample.background_prompts[place]),
                str(factors.pose[place]) if posed else None,
                None if part == "edit" else int(place),
            )
            # each pose or background once
            if len(known) < count and (cell.pose or cell.background) not in {c.pose or c.background for c in known}:
                known.append(cell)
    backgrounds = _others(sample.background_prompts, sample.background_prompts[row], count, rng)
    taken = [factors.pose[row], *(cell.pose for cell in known)]
    poses: list[str | None] = [None]
    if posed:
        poses = [*_others(factors.pose, taken, count, rng)] or [cell.pose for cell in known]
    if not poses or not backgrounds:
        return known
    for number in range(count - len(known)):
        known.append(_Cell(backgrounds[number % len(backgrounds)], poses[number % len(poses)], None))
    return known


def request_for(
    sample: Sample,
    row: int,
    *,
    part: str,
    background: str,
    pose: np.ndarray | None,
    truth: int | None,
    seed: int,
    number: int,
    examples: tuple[int, ...] = (),
) -> Request:
    """A request by the rows of its reference and of its truth; the attributes are those of :class:`Request`."""
    factors = sample.factors
    return Request(
        part=part,
        subject=str(factors.subject[row]),
        reference=_picture(sample, row),
        reference_mask=_mask(sample, row),
        reference_pose=factors.keypoints[row],
        reference_background=str(sample.background_prompts[row]),
        prompt=f"{PLACEHOLDER} {EDIT}, {background}" if part == "edit" else f"{PLACEHOLDER}, {background}",
        description=str(sample.subject_prompts[row]),
        background=background,
        pose=pose,
        attributes={name: str(values[row]) for name, values in factors.attributes.items()},
        seed=seed,
        reference_id=str(sample.ids[row]),
        truth=None if truth is None else _picture(sample, truth),
        truth_mask=None if truth is None else _mask(sample, truth),
        truth_id="" if truth is None else str(sample.ids[truth]),
        examples=tuple(_picture(sample, place) for place in examples),
        example_ids=tuple(str(sample.ids[place]) for place in examples),
        number=number,
    )


def _pose(factors: FactorLabels, cell: _Cell) -> np.ndarray | None:
    if cell.pose is None:
        return None
    row = cell.truth if cell.truth is not None else int(np.flatnonzero(factors.pose == cell.pose)[0])
    return factors.keypoints[row]


def _picture(sample: Sample, row: int) -> Image.Image:
    return Image.open(io.BytesIO(sample.images[row])).convert("RGB")


def _mask(sample: Sample, row: int) -> np.ndarray:
    mask: np.ndarray = np.asarray(Image.open(io.BytesIO(sample.masks[row])).convert("L")) > 127
    return mask


def _others(values: np.ndarray, but: Any, count: int, rng: np.random.Generator) -> list[str]:
    """At most ``count`` different values, drawn, none of those in ``but``."""
    there = np.unique(values[~np.isin(values, but)])
    return [str(value) for value in rng.permutation(there)[:count]]
