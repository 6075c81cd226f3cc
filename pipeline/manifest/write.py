"""Writes the manifest from a run's fragments, one source at a time, sorted by source, subject and background."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import store
from pipeline.manifest.parts import PartsWriter, rejected_path
from pipeline.manifest.schema import REJECTED_SCHEMA, SCHEMA
from pipeline.records import Posed, Source, Status, Subject, Variation
from pipeline.runner.duplicates import Duplicates
from pipeline.runner.ledger import DamagedFragment, Fragment, Ledger

MAX_PART_BYTES = 500 * 1000 * 1000
_REJECTED_GROUP = 2000
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
        rejected: How many rows ``*.rejected.parquet`` has, by ``kind:reason`` (``kind:failed`` for failed ones).
        per_source: Variations by source id.
    """

    paths: list[str]
    rejected_path: str
    rows: int
    digest: str
    rejected: dict[str, int] = field(default_factory=dict)
    per_source: dict[str, int] = field(default_factory=dict)


def write_manifest(
    path: str,
    ledger: Ledger,
    fragments: Sequence[Fragment],
    duplicates: Duplicates,
    footer: Mapping[str, Any],
    max_part_bytes: int = MAX_PART_BYTES,
) -> Written:
    """Writes the manifest and, beside it, ``*.rejected.parquet``; both atomically, the manifest last.

    Args:
        path: ``….parquet``, local or a URL. A manifest of more than ``max_part_bytes`` of pictures becomes the folder
            ``…/part-00000.parquet``, ….
        ledger: Where the fragments are read from.
        fragments: The run's current fragments of the stages ``sources``, ``poses``, ``subjects`` and ``variations``.
        duplicates: The sources that were left out between ``sources`` and ``poses``.
        footer: From :func:`pipeline.manifest.footer.describe`.
        max_part_bytes: Upper bound of a part's pictures, bytes.
    """
    reads = _Fragments(ledger, fragments, duplicates)
    per_source: dict[str, int] = {}
    writer = PartsWriter(path, footer, max_part_bytes)
    try:
        with _RejectedWriter(rejected_path(path)) as rejected:
            for kind, missed in reads.missed():
                rejected.add(kind, missed)
            for source, rows in reads.variations():
                good = [row for row in rows if row.ok]
                per_source[source] = len(good)
                for row in good:
                    writer.add(_manifest_row(row))
                rejected.add("variation", [row for row in rows if not row.ok])
        writer.close()
    except BaseException:
        writer.abort()
        raise
    return Written(writer.paths, rejected.path, writer.rows, writer.digest.value, dict(rejected.counts), per_source)


class _Fragments:
    """A run's fragments, read source by source in the order of the source ids."""

    def __init__(self, ledger: Ledger, fragments: Sequence[Fragment], duplicates: Duplicates) -> None:
        self.ledger, self.duplicates = ledger, duplicates
        self.by_stage = {stage: [f for f in fragments if f.stage == stage] for stage in _KINDS}

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

    def variations(self) -> Iterator[tuple[str, list[Variation]]]:
        """Each source's variations, sorted; one source at a time is in memory."""
        places = {source: fragment for fragment in self.by_stage["variations"] for source in fragment.sources}
        for source in sorted(places):
            rows = self.ledger.read_source(places[source], source, Variation, ("source_image", "subject_image"))
            if any(row.ok and hashlib.sha256(row.image or b"").hexdigest() != row.sha256 for row in rows):
                raise DamagedFragment(places[source].path, f"an image of {source} is not that of its sha256")
            yield source, sorted(rows, key=lambda row: (row.subject_id, row.background_id))


class _RejectedWriter:
    """Writes ``*.rejected.parquet``, in row groups of some thousand rows."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.counts: Counter[str] = Counter()
        self._rows: list[dict[str, Any]] = []

    def __enter__(self) -> _RejectedWriter:
        self._stack = ExitStack()
        file = self._stack.enter_context(store.atomic(self.path))
        self._writer = self._stack.enter_context(pq.ParquetWriter(file, REJECTED_SCHEMA, compression="zstd"))
        return self

    def __exit__(self, *problem: Any) -> None:
        if problem[0] is None:
            self._flush()
        self._stack.__exit__(*problem)

    def add(self, kind: str, rows: Sequence[Source]) -> None:
        for row in rows:
            self.counts[f"{kind}:{row.reason or row.status}"] += 1
            values = {name: getattr(row, name, None) for name in REJECTED_SCHEMA.names}
            attempt = getattr(row, row.ATTEMPT) if row.ATTEMPT else None
            self._rows.append({**values, "kind": kind, "attempt": attempt})
        if len(self._rows) >= _REJECTED_GROUP:
            self._flush()

    def _flush(self) -> None:
        self._writer.write_table(pa.Table.from_pylist(self._rows, REJECTED_SCHEMA))
        self._rows = []


def _manifest_row(row: Variation) -> dict[str, Any]:
    assert row.image is not None, f"{row} is ok but has no image"
    width, height = (int.from_bytes(row.image[at : at + 4], "big") for at in (16, 20))  # of the PNG's header
    values = {name: getattr(row, name) for name in SCHEMA.names if name not in ("width", "height")}
    pictures = {
        "image": {"bytes": row.image, "path": f"{row.variation_id}.png"},
        "mask": {"bytes": row.mask, "path": f"{row.variation_id}.mask.png"},
        "control": {"bytes": row.control, "path": f"{row.pose_id}.control.png"},
    }
    return {**values, **pictures, "width": width, "height": height}
