"""Which pictures make a batch: pairs of one subject, in groups that hold the hard negatives."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline import ids
from spotdiff_model.data.rows import Rows

_SUBJECTS = 4
"""Subjects per source and background in a group."""


@dataclass(frozen=True)
class Batch:
    """Rows of one step, for all devices together.

    Attributes:
        references, targets: ``[B]`` places of rows; pair by pair the same subject.
        reference_augmentations, target_augmentations: ``[B]``: 0 for the picture itself, k for its k-th augmentation.
    """

    references: np.ndarray
    targets: np.ndarray
    reference_augmentations: np.ndarray
    target_augmentations: np.ndarray

    def part(self, number: int, of: int) -> Batch:
        """One device's part: every ``of``-th pair."""
        return Batch(*(values[number::of] for values in vars(self).values()))


class TrainingPairs:
    """Draws batches; each is a function of the seed and the step alone, so there is no state to save.

    A group is two sources x two backgrounds x some subjects, as far as the dataset has them. So each picture meets
    others of the same pose and background with another subject, of the same subject and pose before another
    background, and of the same background in another pose: what each feature has to tell apart.
    """

    def __init__(self, rows: Rows, seed: int, reference: Literal["other", "same"], augmentations: int) -> None:
        self.seed, self.reference, self.augmentations = seed, reference, augmentations
        self.subject, self.source, self.background = (
            _numbers(values) for values in (rows.subject_id, rows.source_id, rows.background_id)
        )
        self._of_subject = _groups(self.subject)
        self._of_cell = _groups(zip(self.source.tolist(), self.background.tolist(), strict=True))
        self._backgrounds = {source: np.unique(self.background[r]) for source, r in _groups(self.source).items()}
        self._sources = {place: np.unique(self.source[rows]) for place, rows in _groups(self.background).items()}

    def batch(self, step: int, size: int) -> Batch:
        """The pairs of a step (counted from 0); ``size`` of them, over all devices."""
        rng = np.random.default_rng(int(ids.digest(["pairs", self.seed, step])[:15], 16))
        references: list[int] = []
        while len(references) < size:
            references += self._group(rng)
        chosen = np.asarray(references[:size])
        if self.reference == "same":
            targets = chosen.copy()
        else:
            targets = np.asarray([self._target(rng, int(place)) for place in chosen])
        augmentations = rng.integers(self.augmentations + 1, size=(2, size))
        if self.reference == "same":
            augmentations[1] = augmentations[0]
        return Batch(chosen, targets, augmentations[0], augmentations[1])

    def _group(self, rng: np.random.Generator) -> list[int]:
        first = rng.choice(np.unique(self.source))
        backgrounds = rng.permutation(self._backgrounds[first])[:2]
        second = rng.choice(self._sources[int(rng.choice(backgrounds))])
        shared = np.intersect1d(backgrounds, self._backgrounds[int(second)])
        more = rng.permutation(np.setdiff1d(self._backgrounds[int(second)], shared))
        of_second = np.concatenate([shared, more])[:2]
        group: list[int] = []
        for source, places in ((first, backgrounds), (second, of_second)):
            cells = [self._of_cell[int(source), int(place)] for place in places]
            subjects = rng.permutation(np.unique(self.subject[cells[0]]))[:_SUBJECTS]
            for cell in cells:
                group += rng.permutation(cell[np.isin(self.subject[cell], subjects)]).tolist()
        return group

    def _target(self, rng: np.random.Generator, place: int) -> int:
        """Another picture of the subject: other pose and background if there is one, else other background."""
        others = self._of_subject[int(self.subject[place])]
        elsewhere = self.background[others] != self.background[place]
        moved = self.source[others] != self.source[place]
        for good in (elsewhere & moved, elsewhere, others != place, np.ones(len(others), bool)):
            if good.any():
                return int(rng.choice(others[good]))
        raise AssertionError("a subject has a picture")


def _numbers(values: np.ndarray) -> np.ndarray:
    return np.unique(values, return_inverse=True)[1].reshape(-1)


def _groups(labels: Iterable[Hashable] | np.ndarray) -> dict[Hashable, np.ndarray]:
    places = defaultdict(list)
    for place, label in enumerate(labels.tolist() if isinstance(labels, np.ndarray) else labels):
        places[label].append(place)
    return {label: np.asarray(rows) for label, rows in places.items()}
