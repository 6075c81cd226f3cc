"""A gate of ``subjects`` and ``variations``: the safety checker. What it flags is rejected; nothing is blackened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from pipeline.models.resolve import Model
from pipeline.records import Reason, Subject, Variation
from pipeline.stages import pictures


@dataclass(frozen=True)
class CheckSafety:
    """Rejects what the profile's checker flags.

    Attributes:
        checker: The model.
    """

    checker: Model

    name: ClassVar[str] = "check_safety"
    version: ClassVar[int] = 1

    def process(self, rows: Sequence[Subject]) -> list[Subject]:
        from pipeline.models.safety import flagged

        images = np.stack([pictures.pixels(_picture(row)) for row in rows])
        return [_judged(row, bad) for row, bad in zip(rows, flagged(self.checker, images), strict=True)]

    def settings(self) -> dict[str, Any]:
        return {"checker": self.checker.identity()}


def _picture(row: Subject) -> bytes | None:
    return row.image if isinstance(row, Variation) else row.subject_image


def _judged(row: Subject, bad: bool) -> Subject:
    scored = replace(row, nsfw=bad) if isinstance(row, Variation) else row
    return scored.reject(Reason.NSFW) if bad else scored
