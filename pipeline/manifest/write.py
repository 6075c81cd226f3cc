"""Writes the manifest from a run's fragments, sorted by source, subject and background: a few parts side by side, each
one source at a time.
"""

from __future__ import annotations

import functools
import hashlib
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.manifest.part import PartWriter
from pipeline.manifest.parts import MAX_PART_BYTES, MAX_PART_ROWS
from pipeline.manifest.rejected import values_of
from pipeline.manifest.schema import PICTURES, SCHEMA
from pipeline.manifest.writing import new_manifest
from pipeline.records import Posed, Source, Status, Subject, Variation
from pipeline.runner.duplicates import Duplicates
from pipeline.runner.ledger import DamagedFragment, Fragment, Ledger

_ROUNDING = 1e-9
_PICTURES = ("source_image", "control", "subject_image", "mask", "image")
_KINDS: dict[str, tuple[str, type[Source]]] = {
    "sources": ("source", Source),
    "poses": ("source", Posed),
    "subjects": ("subject", Subject),
    "variations": ("variation", Variation),
}


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        paths: The file, or the parts.
        digest: Over the content of all rows.
        rejected_path: The list of what did not get in.
        rejected: How many rows that list has, by ``kind:reason`` (``kind:failed`` for failed ones).
    """

    paths: list[str]
    rejected_path: str
    rows: int
    digest: str
    rejected: dict[str, int] = field(default_factory=dict)


def write_manifest(
    path: str,
    ledger: Ledger,
    fragments: Sequence[Fragment],
    duplicates: Duplicates,
    footer: Mapping[str, Any],
    max_part_bytes: int = MAX_PART_BYTES,
) -> Written:
    """Writes the manifest and the list of what did not get in; at every moment a reader sees the old pair or the new.

    Args:
        path: ``….parquet``, local or a URL. A manifest of more than ``max_part_bytes`` of pictures becomes the folder
            ``…/part-00000-….parquet``, ….
        ledger: Where the fragments are read from.
        fragments: The run's current fragments of the stages ``sources``, ``poses``, ``subjects`` and ``variations``.
        duplicates: The sources that were left out between ``sources`` and ``poses``.
        footer: From :func:`pipeline.manifest.footer.describe`.
        max_part_bytes: Of a part's pictures, bytes, about; a source is in one part.

    Raises:
        UserError: A fragment holds a picture that does not fit its checksum.
    """
    reads = _Fragments(ledger, fragments, duplicates)
    with new_manifest(path, footer, max_part_bytes) as (writer, rejected):
        for kind, missed in reads.missed():
            rejected.add(kind, missed)

        def take(missed: Sequence[Mapping[str, Any]]) -> None:
            for values in missed:
                rejected.add_values(values)

        plan = reads.planned(max_part_bytes)
        writer.fill([functools.partial(_fill, reads, sources) for sources in plan], take)
    return Written(writer.paths, rejected.path, writer.rows, writer.digest.value, dict(rejected.counts))


def _fill(reads: _Fragments, sources: Sequence[str], part: PartWriter, stop: threading.Event) -> list[dict[str, Any]]:
    """Writes some sources' accepted variations into a part; gives what the list of misses says of the others."""
    missed: list[dict[str, Any]] = []
    for fragment, rows in reads.variations(sources):
        if stop.is_set():
            break
        for row in rows:
            if row.ok:
                part.add(_manifest_row(row, fragment))
            else:
                missed.append(values_of("variation", row))
    return missed


class _Fragments:
    """A run's fragments, read source by source in the order of the source ids."""

    def __init__(self, ledger: Ledger, fragments: Sequence[Fragment], duplicates: Duplicates) -> None:
        self.ledger, self.duplicates = ledger, duplicates
        self.by_stage = {stage: [f for f in fragments if f.stage == stage] for stage in _KINDS}
        self.places = {source: fragment for fragment in self.by_stage["variations"] for source in fragment.sources}

    def missed(self) -> Iterator[tuple[str, list[Source]]]:
        """What did not get as far as ``variations``, with its kind: sources first, then subjects."""
        for stage in ("sources", "poses", "subjects"):
            kind, row_type = _KINDS[stage]
            missed: list[Source] = []
            for fragment in self.by_stage[stage]:
                if stage != "sources" and fragment.counts.get(Status.OK, 0) == fragment.total:
                    continue
                rows: Sequence[Source] = self.ledger.read(fragment, row_type, leaving_out=_PICTURES)
                if stage == "sources":  # the stage itself looks at one shard only, so duplicates are ok in it
                    rows = self.duplicates.mark(rows)
                missed += [row for row in rows if not row.ok]
            yield kind, sorted(missed, key=lambda row: (row.source_id, *row.slot[1:], row.path))

    def planned(self, max_bytes: int) -> list[list[str]]:
        """The sources of each part, in order. A part holds whole sources, so many that it does not grow too large."""
        sizes: dict[str, float] = {}
        for fragment in self.by_stage["variations"]:
            for source, (rows, size) in self.ledger.sizes(fragment, PICTURES).items():
                sizes[source] = max(rows / MAX_PART_ROWS, size / max_bytes)
        parts: list[list[str]] = [[]]
        full = 0.0
        for source in sorted(self.places):
            full += sizes[source]
            if parts[-1] and full > 1 + _ROUNDING:
                parts.append([])
                full = sizes[source]
            parts[-1].append(source)
        return parts

    def variations(self, sources: Iterable[str]) -> Iterator[tuple[Fragment, list[Variation]]]:
        """Each source's variations, sorted, and where they were read; one source at a time is in memory."""
        for source in sources:
            rows = self.ledger.read_source(self.places[source], source, Variation, ("source_image", "subject_image"))
            yield self.places[source], sorted(rows, key=lambda row: (row.subject_id, row.background_id))


def _manifest_row(row: Variation, fragment: Fragment) -> dict[str, Any]:
    assert row.image is not None, f"{row} is ok but has no image"
    if hashlib.sha256(row.image).hexdigest() != row.sha256:
        raise DamagedFragment(fragment.path, f"row {row}: the image is not that of its sha256")
    width, height = (int.from_bytes(row.image[at : at + 4], "big") for at in (16, 20))  # of the PNG's header
    values = {name: getattr(row, name) for name in SCHEMA.names if name not in ("width", "height")}
    pictures = {
        "image": {"bytes": row.image, "path": f"{row.variation_id}.png"},
        "mask": {"bytes": row.mask, "path": f"{row.variation_id}.mask.png"},
        "control": {"bytes": row.control, "path": f"{row.pose_id}.control.png"},
    }
    return {**values, **pictures, "width": width, "height": height}
