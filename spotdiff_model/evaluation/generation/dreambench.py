"""DreamBench: 30 subjects and 2 x 25 prompts of google/dreambooth (Ruiz et al. 2023), for encoders of SD 1.5's size.

Prompts and classes are the benchmark's own (``dreambench.json``). ``S*`` stands for token and class noun together where
pictures are generated; CLIP-T is told the class noun alone. Whole-image scores reward a copied background, and numbers
of other backbones or preprocessing must not be put beside these.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from pipeline import ids
from pipeline.config import UserError
from pipeline.imaging.frame import square
from spotdiff_model.evaluation.generation.measures import Embed, EmbedText
from spotdiff_model.placeholder import PLACEHOLDER

_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
_TOKENS = "{0} {1}"


@dataclass(frozen=True)
class BenchSubject:
    """One subject.

    Attributes:
        name: Its folder.
        class_noun: What it is.
        live: Whether it is an animal, with prompts of its own.
        pictures: Its real pictures; the first is the reference.
    """

    name: str
    class_noun: str
    live: bool
    pictures: tuple[Path, ...]


@dataclass(frozen=True)
class BenchRequest:
    """``count`` pictures of a subject for a prompt: with ``S*`` for the model, ``spoken`` for CLIP."""

    subject: BenchSubject
    prompt: str
    spoken: str
    seeds: tuple[int, ...]


Make = Callable[[Image.Image, str, Sequence[int]], list[Image.Image]]
"""Reference, prompt and one seed per picture to pictures."""


def read_subjects(folder: str | Path) -> list[BenchSubject]:
    """The subjects in a folder of google/dreambooth's layout (``dataset/`` or its parent), by name.

    Raises:
        UserError: No such folder, or none of the benchmark's subjects in it.
    """
    root = Path(folder)
    root = root / "dataset" if (root / "dataset").is_dir() else root
    if not root.is_dir():
        raise UserError(f"--dreambench {folder}: no such folder; clone https://github.com/google/dreambooth")
    known = _bench()
    found = []
    for name, noun in known["classes"].items():
        pictures = sorted(p for p in (root / name).glob("*") if p.suffix.lower() in _SUFFIXES)
        if pictures:
            found.append(BenchSubject(name, noun, name in known["live"], tuple(pictures)))
    if not found:
        raise UserError(f"--dreambench {folder}: none of the benchmark's {len(known['classes'])} subjects is in it")
    return found


def bench_requests(subjects: Sequence[BenchSubject], images: int, seed: int = 0) -> Iterator[BenchRequest]:
    """25 prompts for each subject, ``images`` pictures each."""
    known = _bench()
    for subject in subjects:
        for prompt in known["live_prompts" if subject.live else "object_prompts"]:
            seeds = [ids.seed_for(subject.name, "dreambench", prompt, "", number, seed) for number in range(images)]
            yield BenchRequest(
                subject,
                prompt.replace(_TOKENS, PLACEHOLDER),
                prompt.replace(_TOKENS, subject.class_noun),
                tuple(seeds),
            )


def score_dreambench(
    subjects: Sequence[BenchSubject],
    make: Make,
    clip: Embed,
    text: EmbedText,
    *,
    side: int,
    images: int = 4,
    dino: Embed | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Generates and scores.

    Args:
        subjects: Whom.
        make: The generator.
        clip, text, dino: Unit vectors of pictures and texts; DINO may be None.
        side: Of the reference pictures, pixels.
        images: Per prompt.
        say: Told the progress.

    Returns:
        ``clip_t``; ``clip_i`` (and ``dino``): mean over all pairs of generated and real pictures of a subject; means
        over subjects, and by subject.
    """
    by_subject: dict[str, dict[str, float]] = {}
    for number, subject in enumerate(subjects):
        say(f"DreamBench: {subject.name}, {number + 1} of {len(subjects)}")
        real = [_opened(path, side) for path in subject.pictures]
        made: list[Image.Image] = []
        spoken: list[str] = []
        for request in bench_requests([subject], images):
            made += make(real[0], request.prompt, request.seeds)
            spoken += [request.spoken] * images
        embedded = clip(made)
        scores = {
            "clip_t": float((embedded * text(spoken)).sum(axis=1).mean()),
            "clip_i": float((embedded @ clip(real).T).mean()),
        }
        if dino is not None:
            scores["dino"] = float((dino(made) @ dino(real).T).mean())
        by_subject[subject.name] = scores
    measures = next(iter(by_subject.values()))
    mean = {name: float(np.mean([scores[name] for scores in by_subject.values()])) for name in measures}
    return {"mean": mean, "subjects": by_subject, "images_per_prompt": images, "prompts": 25, "references": "first"}


def _opened(path: Path, side: int) -> Image.Image:
    with Image.open(path) as image:
        return square(ImageOps.exif_transpose(image).convert("RGB"), side)[0]


def _bench() -> Mapping[str, Any]:
    known: Mapping[str, Any] = json.loads(
        resources.files("spotdiff_model.evaluation.generation").joinpath("dreambench.json").read_text("utf-8")
    )
    return known
