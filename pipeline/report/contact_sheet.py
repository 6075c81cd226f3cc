"""One picture per source that shows all that was made of it: the quickest way to judge a build.

On top the source and its pose; below, a row for each subject: the figure as generated, its mask, and its variations, a
column for each background. What was rejected is hatched and says why.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline import store
from pipeline.imaging.png import from_png
from pipeline.records import Posed, Row, Subject, Variation
from pipeline.report.canvas import CELL, GAP, LINE, Canvas
from pipeline.runner.ledger import ROWS_DROPPED, DamagedFragment, Fragment, Ledger

logger = logging.getLogger(__name__)

_STEP = CELL + GAP
_CAPTION = 3 * LINE
NOT_KEPT = "picture not kept"
"""In the cell of a picture that was accepted, and that neither manifest nor work folder has (any more)."""
_FIXED = 2  # columns before the variations: subject, mask


@dataclass(frozen=True)
class Sheet:
    """What a sheet shows.

    Attributes:
        source: With its picture and control image.
        subjects: All of the source's, rejected ones too, in order.
        variations: All of the source's.
    """

    source: Posed
    subjects: Sequence[Subject]
    variations: Sequence[Variation]

    def draw(self) -> Canvas:
        """The sheet as a picture."""
        by_place = {(row.subject_id, row.background_id): row for row in self.variations}
        backgrounds = {row.background_id: row.background_prompt for row in self.variations}
        width = GAP + _STEP * max(_FIXED + len(backgrounds), 4)
        top = GAP + CELL + _CAPTION + GAP
        row_height = CELL + _CAPTION + GAP
        canvas = Canvas(width, top + _CAPTION + GAP + row_height * len(self.subjects))
        self._head(canvas)
        for column, (name, prompt) in enumerate(backgrounds.items(), _FIXED):
            canvas.text(_x(column), top, name, width=CELL, strong=True)
            canvas.text(_x(column), top + LINE, prompt, width=CELL, lines=2)
        for number, subject in enumerate(self.subjects):
            y = top + _CAPTION + GAP + number * row_height
            _slot(canvas, 0, y, subject, subject.subject_image, [subject.subject_id, subject.subject_prompt])
            _slot(canvas, 1, y, subject, subject.mask, [f"mask {_score(subject.mask_score)}", _scores(subject)])
            for column, name in enumerate(backgrounds, _FIXED):
                row = by_place.get((subject.subject_id, name))
                if row is None:
                    canvas.gap(_x(column), y, "no subject" if not subject.ok else "not made yet")
                else:
                    background = f"background {_score(row.clip_t_background)}  kept {_score(row.subject_kept)}"
                    _slot(canvas, column, y, row, row.image, [row.variation_id, background])
        return canvas

    def _head(self, canvas: Canvas) -> None:
        source = self.source
        for column, (data, label) in enumerate([(source.source_image, "source"), (source.control, "pose")]):
            _slot(canvas, column, GAP, source, data, [label, (source.source_id, source.pose_id)[column]])
        made = sum(row.ok for row in self.variations)
        size = f"{source.source_width}x{source.source_height} px, " if source.source_width else ""
        facts = [
            *filter(None, [source.path]),
            f"source {source.source_id}, {size}split {source.split}",
            f"{sum(row.ok for row in self.subjects)} of {len(self.subjects)} subjects, "
            f"{made} of {len(self.variations)} variations accepted",
            *filter(None, [source.source_license, source.source_attribution, source.source_uri]),
        ]
        for number, fact in enumerate(facts):
            canvas.text(
                _x(2), GAP + number * (LINE + 3), fact, width=canvas.image.width - _x(2) - GAP, strong=number == 0
            )


def write_contact_sheets(
    ledger: Ledger, fragments: Sequence[Fragment], folder: str | Path, limit: int | None = None
) -> list[str]:
    """Draws the sheets of a run's sources.

    Args:
        ledger: Where the fragments are read from.
        fragments: The run's current ones of ``poses``, ``subjects`` and, as far as they are made, ``variations``.
        folder: Where ``<source_id>.png`` are written, local or a URL.
        limit: Draw only the first so many of the listing.

    Returns:
        The files, in the order of the listing.
    """
    return save_sheets(_sheets(ledger, fragments, limit), folder)


def save_sheets(sheets: Iterable[Sheet], folder: str | Path) -> list[str]:
    """Draws sheets as ``<source_id>.png`` in a folder, local or a URL; gives the files."""
    paths = []
    for sheet in sheets:
        buffer = io.BytesIO()
        sheet.draw().image.save(buffer, "PNG")
        paths.append(store.join(str(folder), f"{sheet.source.source_id}.png"))
        store.write_bytes(paths[-1], buffer.getvalue())
    return paths


def _sheets(ledger: Ledger, fragments: Sequence[Fragment], limit: int | None) -> Iterator[Sheet]:
    of_stage: dict[str, dict[str, Fragment]] = {"poses": {}, "subjects": {}, "variations": {}}
    for fragment in fragments:
        of_stage.get(fragment.stage, {}).update(dict.fromkeys(fragment.sources, fragment))
    for source in list(of_stage["subjects"])[:limit]:
        try:
            yield _sheet(ledger, of_stage, source)
        except DamagedFragment as damage:  # the next build makes it again; there is no sheet until then
            if damage.problem == ROWS_DROPPED:  # it still says what was done
                logger.warning("no sheet of source %s: %s", source, damage)
            else:
                ledger.discard(damage)


def _sheet(ledger: Ledger, of_stage: dict[str, dict[str, Fragment]], source: str) -> Sheet:
    (posed,) = ledger.read_source(of_stage["poses"][source], source, Posed)
    subjects = ledger.read_source(of_stage["subjects"][source], source, Subject, ["control"])
    made = of_stage["variations"].get(source)
    kept_out = ("control", "mask", "subject_image")
    variations = ledger.read_source(made, source, Variation, kept_out) if made else []
    return Sheet(posed, subjects, variations)


def _x(column: int) -> int:
    return GAP + column * _STEP


def _slot(canvas: Canvas, column: int, y: int, row: Row, data: bytes | None, caption: Sequence[str]) -> None:
    if row.ok and data:
        canvas.picture(_x(column), y, from_png(data))
    else:
        canvas.gap(_x(column), y, row.reason or row.error or (NOT_KEPT if row.ok else str(row.status)))
    canvas.text(_x(column), y + CELL + 2, caption[0], width=CELL, strong=True)
    canvas.text(_x(column), y + CELL + 2 + LINE, caption[1], width=CELL, lines=2)


def _scores(subject: Subject) -> str:
    return f"pose {_score(subject.pose_score)}  prompt {_score(subject.clip_t_subject)}"


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
