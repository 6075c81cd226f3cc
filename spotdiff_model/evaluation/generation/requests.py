"""What is asked of the generation: new backgrounds, new poses, an edit; the same requests for every encoder."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from spotdiff_model.evaluation.probes.factors import Sample
from spotdiff_model.placeholder import PLACEHOLDER

PARTS = {"new_background": "new background", "new_pose": "new pose", "edit": "edit"}
"""Parts of the requests, with their titles."""
EDIT = "wearing a red hat"
EDITED = {"hat": "hat", "hat_color": "red"}
"""What the edit asks for, in the words of the subject bank's attributes."""
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
            "class_noun": CLASS_NOUN,
        }


def make_requests(sample: Sample, settings: RequestSettings, seed: int) -> list[Request]:
    """The requests for a split, in a fixed order.

    Args:
        sample: Of the judged split; references, backgrounds and poses are drawn from it.
        settings: How many.
        seed: Settles the draws, and the noise of each picture.
    """
    rng = np.random.default_rng(seed)
    factors = sample.factors
    subjects = np.unique(factors.subject)
    if len(subjects) > settings.subjects:
        subjects = np.sort(rng.choice(subjects, settings.subjects, replace=False))
    requests: list[Request] = []
    for subject in subjects:
        row = int(rng.choice(np.flatnonzero(factors.subject == subject)))
        for part, count in (
            ("new_background", settings.backgrounds),
            ("new_pose", settings.poses),
            ("edit", settings.edits),
        ):
            backgrounds = _others(sample.background_prompts, sample.background_prompts[row], count, rng)
            poses = _others(factors.pose, factors.pose[row], count, rng) if part == "new_pose" else [None] * count
            if not len(poses):
                continue  # one pose in the whole split
            for number in range(count):
                background = str(backgrounds[number % len(backgrounds)])
                pose = poses[number % len(poses)]
                requests.append(_request(sample, row, part, background, pose, int(rng.integers(2**31))))
    return requests


def _request(sample: Sample, row: int, part: str, background: str, pose: str | None, seed: int) -> Request:
    factors = sample.factors
    asked = None if pose is None else factors.keypoints[np.flatnonzero(factors.pose == pose)[0]]
    what = f"{PLACEHOLDER} {EDIT}" if part == "edit" else PLACEHOLDER
    return Request(
        part=part,
        subject=str(factors.subject[row]),
        reference=Image.open(io.BytesIO(sample.images[row])).convert("RGB"),
        reference_mask=np.asarray(Image.open(io.BytesIO(sample.masks[row])).convert("L")) > 127,
        reference_pose=factors.keypoints[row],
        reference_background=str(sample.background_prompts[row]),
        prompt=f"{what}, {background}",
        description=str(sample.subject_prompts[row]),
        background=background,
        pose=asked,
        attributes={name: str(values[row]) for name, values in factors.attributes.items()},
        seed=seed,
    )


def _others(values: np.ndarray, but: str, count: int, rng: np.random.Generator) -> list[str]:
    """At most ``count`` different values, drawn; the one itself only where there is no other background."""
    there = np.unique(values[values != but])
    return [str(value) for value in rng.permutation(there)[:count]]
