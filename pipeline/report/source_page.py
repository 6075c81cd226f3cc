"""One source of a report: its tiles, its rows and its misses, gathered row by row."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from pipeline import ids
from pipeline.records import Posed, Subject, Variation
from pipeline.report.atlas import MAX_SIDE, Atlas, Put
from pipeline.report.outline import outline
from pipeline.report.run_pictures import RunPictures
from pipeline.report.tables import SCORES

_PLAIN = re.compile(r"[\w-]{1,80}", re.ASCII)
_OF_ROW = ("variation_id", "background_id", "prompt", "negative_prompt", "attempt", "sha256")
_OF_SUBJECT = ("pose_score", "mask_score", "mask_area", "clip_t_subject")
_RIGHTS = ("source_license", "source_attribution", "source_uri")


def page_name(source: str) -> str:
    """The name of a source's files: its id, unless that could lead out of the folder."""
    return source if _PLAIN.fullmatch(source) else ids.digest(["report", source])[: ids.ID_DIGITS]


@dataclass
class SourcePage:
    """Gathers one source.

    Attributes:
        source_id: The source.
        put: Takes the atlas files.
        originals: Whether pictures are stored as they are, too.
    """

    source_id: str
    put: Put
    originals: bool = False
    facts: dict[str, Any] = field(default_factory=lambda: {"path": None})
    rows: list[dict[str, Any]] = field(default_factory=list)
    misses: list[dict[str, Any]] = field(default_factory=list)
    subjects: dict[str, dict[str, Any]] = field(default_factory=dict)
    backgrounds: dict[str, str] = field(default_factory=dict)
    side: int = 0
    _atlas: Atlas | None = None

    @property
    def name(self) -> str:
        return page_name(self.source_id)

    @property
    def tiles(self) -> int:
        return self._atlas.count if self._atlas else 0

    def add(self, row: Mapping[str, Any]) -> None:
        """Takes a row of the manifest."""
        if not self.rows:
            named = ("pose_id", "split", "width", "height", *_RIGHTS)
            self.facts = {**self.facts, **{name: row.get(name) for name in named}}
            self.facts["control"] = self._tile(row["control"]["bytes"])
        name = str(row["subject_id"])
        subject = self._subject(name, row["subject_prompt"])
        if subject["outline"] is None:
            subject["outline"] = outline(row["mask"]["bytes"])
            subject["seed"] = str(row["subject_seed"])  # too large for JavaScript's numbers
            subject |= {score: row[score] for score in _OF_SUBJECT}
        said = {column: row[column] for column in _OF_ROW}
        scores = {score: row[score] for score in SCORES}
        tile = self._tile(row["image"]["bytes"])
        seed = str(row["background_seed"])
        self.rows.append({**said, **scores, "subject": name, "background_seed": seed, "tile": tile})
        self.backgrounds[str(row["background_id"])] = str(row["background_prompt"])
        if self.originals:
            self.put(f"originals/{self.name}/{len(self.rows) - 1}.png", row["image"]["bytes"])

    def add_misses(self, misses: Sequence[Mapping[str, Any]], run: RunPictures | None) -> None:
        """Takes what of this source did not get in, and the pictures that the run still has."""
        posed = run.posed(self.source_id) if run else None
        if posed:
            self._add_photo(posed)
        made = {row.subject_id: row for row in run.subjects(self.source_id)} if run else {}
        for row in made.values():
            self._add_figure(row)
        kinds = {miss["kind"] for miss in misses}
        tried = run.rejected(self.source_id) if run and "variation" in kinds else []
        variations = {(row.subject_id, row.background_id): row for row in tried}
        for miss in misses:
            known: Posed | None = posed
            if miss["kind"] == "subject":
                known = made.get(miss["subject_id"])
            elif miss["kind"] == "variation":
                known = variations.get((miss["subject_id"], miss["background_id"]))
            self.misses.append(self._miss(miss, known))

    def close(self) -> dict[str, Any]:
        """Stores the last tiles; gives all of it as the page and the viewer read it."""
        if self._atlas:
            self._atlas.flush()
        return {
            **self.facts,
            "source_id": self.source_id,
            "name": self.name,
            "tiles": self.tiles,
            "subjects": self.subjects,
            "backgrounds": self.backgrounds,
            "rows": self.rows,
            "misses": self.misses,
        }

    def _add_photo(self, row: Posed) -> None:
        self.facts |= {name: getattr(row, name) for name in ("path", "source_width", "source_height", "split")}
        self.facts |= {name: getattr(row, name) for name in _RIGHTS}
        if row.source_image:
            self.facts["photo"] = self._tile(row.source_image)
        if row.control and "control" not in self.facts:
            self.facts["control"] = self._tile(row.control)

    def _add_figure(self, row: Subject) -> None:
        subject = self._subject(row.subject_id, row.subject_prompt)
        subject |= {score: getattr(row, score) for score in _OF_SUBJECT}
        subject |= {"seed": str(row.subject_seed), "attempt": row.subject_attempt}
        subject["why"] = None if row.ok else row.reason or row.error or str(row.status)
        if row.subject_image:
            subject["tile"] = self._tile(row.subject_image)
        if row.mask and subject["outline"] is None:
            subject["outline"] = outline(row.mask)

    def _miss(self, miss: Mapping[str, Any], known: Posed | None) -> dict[str, Any]:
        said = {name: miss[name] for name in ("kind", "subject_id", "background_id", "path", "detail", "error")}
        said |= {score: miss[score] for score in (*SCORES, "people", "attempt")}
        said["reason"] = miss["reason"] or miss["status"]
        said["tile"] = None
        if isinstance(known, Variation):
            said |= {"prompt": known.prompt, "background_seed": str(known.background_seed)}
            self.backgrounds[known.background_id] = known.background_prompt
            said["tile"] = self._tile(known.image) if known.image else None
        elif isinstance(known, Subject):
            said |= {"prompt": known.subject_prompt, "subject_seed": str(known.subject_seed)}
            said["tile"] = self.subjects[known.subject_id]["tile"]
        elif known is not None:
            said["tile"] = self.facts.get("photo")
        return said

    def _subject(self, name: str, prompt: str) -> dict[str, Any]:
        fresh = {"prompt": prompt, "tile": None, "outline": None, "why": None, "seed": None, "attempt": None}
        return self.subjects.setdefault(name, {**fresh, **dict.fromkeys(_OF_SUBJECT)})

    def _tile(self, png: bytes) -> int:
        if self._atlas is None:
            self.side = min(MAX_SIDE, max(Image.open(io.BytesIO(png)).size))
            self._atlas = Atlas(self.name, self.side, self.put)
        return self._atlas.add(png)
