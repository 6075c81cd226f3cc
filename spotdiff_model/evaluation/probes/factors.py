"""What is true of the judged pictures: the factors that the manifest's design settles, and the pictures themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline import banks, ids
from pipeline.config import UserError
from pipeline.manifest.read import Manifest

_COLUMNS = ("variation_id", "split", "source_id", "pose_id", "subject_id", "background_id", "keypoints")
_TEXTS = ("subject_prompt", "background_prompt")
_PICTURES = ("image", "mask")


@dataclass(frozen=True, eq=False)
class FactorLabels:
    """The factors of N pictures, aligned.

    Attributes:
        subject, background, pose: Names, ``[N]`` str (pose ids are one to one with sources).
        keypoints: ``[N, 18, 3]`` float32: x, y in 0..1 of the side, confidence; missing ones are (0, 0, 0).
        attributes: What the subject bank says of each picture's subject: ``[N]`` str by attribute; empty where the bank
            cannot be read or says nothing.
    """

    subject: np.ndarray
    background: np.ndarray
    pose: np.ndarray
    keypoints: np.ndarray
    attributes: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.subject)

    def __getitem__(self, rows: np.ndarray) -> FactorLabels:
        """The factors of some of the pictures (indices or booleans)."""
        attributes = {name: values[rows] for name, values in self.attributes.items()}
        return FactorLabels(
            self.subject[rows], self.background[rows], self.pose[rows], self.keypoints[rows], attributes=attributes
        )


@dataclass(frozen=True, eq=False)
class Sample:
    """Judged pictures with their factors.

    Attributes:
        images: PNG bytes, one a row.
        masks: PNG bytes of the subjects' masks.
        subject_prompts, background_prompts: ``[N]`` str, the bank's words.
        ids: ``[N]`` str, the variations' ids.
    """

    factors: FactorLabels
    images: list[bytes]
    masks: list[bytes]
    subject_prompts: np.ndarray
    background_prompts: np.ndarray
    ids: np.ndarray

    def __len__(self) -> int:
        return len(self.images)


def read_sample(path: str, split: str, max_rows: int | None = None, seed: int = 0) -> Sample:
    """Reads a split's pictures.

    Args:
        path: The manifest.
        split: ``train``, ``validation`` or ``test``.
        max_rows: Draw at most so many rows (seeded, without replacement; order of the manifest kept).
        seed: Of that draw.

    Raises:
        UserError: The manifest is not readable, lacks a column, or has no rows of that split.
    """
    if split not in ids.SPLITS:
        raise UserError(f"--split {split!r}: must be one of {', '.join(ids.SPLITS)}")
    manifest = Manifest(path)
    columns = _read(manifest, _COLUMNS)
    wanted = np.flatnonzero(np.array(columns["split"]) == split)
    if not len(wanted):
        there = ", ".join(f"{name} ({count} rows)" for name, count in Counter(columns["split"]).most_common())
        raise UserError(f"manifest {path}: no rows of split {split!r}; it holds {there}; choose one with --split")
    if max_rows and len(wanted) > max_rows:
        wanted = np.sort(np.random.default_rng(seed).choice(wanted, max_rows, replace=False))
    subjects = np.array(columns["subject_id"])[wanted]
    factors = FactorLabels(
        subject=subjects,
        background=np.array(columns["background_id"])[wanted],
        pose=np.array(columns["pose_id"])[wanted],
        keypoints=np.array([columns["keypoints"][row] for row in wanted], np.float32),
        attributes=_attributes(manifest.footer, subjects),
    )
    content = _read(manifest, (*_TEXTS, *_PICTURES), set(wanted.tolist()))
    return Sample(
        factors,
        [picture["bytes"] for picture in content["image"]],
        [picture["bytes"] for picture in content["mask"]],
        np.array(content["subject_prompt"]),
        np.array(content["background_prompt"]),
        np.array(columns["variation_id"])[wanted],
    )


def _read(manifest: Manifest, names: tuple[str, ...], rows: set[int] | None = None) -> dict[str, list[Any]]:
    """Columns as lists; of all rows or of some."""
    found: dict[str, list[Any]] = {name: [] for name in names}
    at = 0
    try:
        for batch in manifest.batches(names):
            here = [number for number in range(batch.num_rows) if rows is None or at + number in rows]
            at += batch.num_rows
            if here:
                taken = batch.take(here)
                for name in names:
                    found[name] += taken.column(name).to_pylist()
    except KeyError as error:
        raise UserError(f"manifest {manifest.path}: has no column {error}; build it with `spotdiff build`") from error
    return found


def _attributes(footer: Mapping[str, Any], subjects: np.ndarray) -> dict[str, np.ndarray]:
    """The subjects' attributes from the bank that the footer names; nothing where it is not on this machine."""
    bank = (footer.get("profile") or {}).get("subject_bank")
    try:
        entries = {entry.id: entry.attributes for entry in banks.load(bank).entries} if bank else {}
    except UserError:
        return {}
    if not set(subjects.tolist()) <= entries.keys():
        return {}
    names = sorted({name for subject in set(subjects.tolist()) for name in entries[subject]})
    return {name: np.array([str(entries[subject].get(name)) for subject in subjects]) for name in names}
