"""Contact sheets of a manifest: they need no work folder, and show more where it still has something."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from typing import Any

from pipeline.manifest.read import Manifest
from pipeline.manifest.schema import PICTURES
from pipeline.records import AnyRow, Posed, Reason, Status, Subject, Variation
from pipeline.report.contact_sheet import Sheet
from pipeline.report.run_pictures import RunPictures
from pipeline.report.tables import missed_table, need_columns

Values = Mapping[str, Any]


def manifest_sheets(manifest: Manifest, run: RunPictures | None = None) -> Iterator[Sheet]:
    """A sheet for each source that has a variation in the manifest or a subject in the list of what did not get in.

    One source's rows are in memory at a time.

    Args:
        manifest: The dataset.
        run: Photos, figures and rejected pictures, as far as its run still has them; without it their cells say so.

    Raises:
        UserError: Columns are missing.
    """
    need_columns(manifest, "contact sheets")
    missed: dict[str, list[Values]] = defaultdict(list)
    for miss in missed_table(manifest).to_pylist():
        if miss["kind"] != "source":
            missed[miss["source_id"]].append(miss)
    rows = (row for batch in manifest.batches() for row in batch.to_pylist())
    for source, of_source in groupby(rows, key=itemgetter("source_id")):  # the manifest is sorted by it
        yield _sheet(source, list(of_source), missed.pop(source, []), run)
    for source, misses in missed.items():
        yield _sheet(source, [], misses, run)


def _sheet(source: str, rows: list[Values], misses: list[Values], run: RunPictures | None) -> Sheet:
    made = [_row(Variation, row) for row in rows]
    subjects = {row.subject_id: row.grow(Subject) for row in made}
    for miss in misses:
        if miss["kind"] == "subject":
            subjects[miss["subject_id"]] = _row(Subject, miss)
    rejected = [_row(Variation, miss) for miss in misses if miss["kind"] == "variation"]
    for row in rejected:
        subjects.setdefault(row.subject_id, Subject(source_id=source, path="", subject_id=row.subject_id))
    posed = made[0].grow(Posed) if made else Posed(source_id=source, path="")
    if run:
        posed = run.posed(source) or posed
        subjects |= {row.subject_id: row for row in run.subjects(source)}
        rejected = (run.rejected(source) if rejected else []) or rejected
    prompts = {row.background_id: row.background_prompt for row in (*rejected, *made)}
    variations = [dataclasses.replace(row, background_prompt=prompts[row.background_id]) for row in (*made, *rejected)]
    in_order = sorted(variations, key=lambda row: (row.background_id, row.subject_id))
    return Sheet(posed, [subjects[name] for name in sorted(subjects)], in_order)


def _row(kind: type[AnyRow], values: Values) -> AnyRow:
    """A row of what the manifest, or its list of what did not get in, says of it."""
    fields = {field.name for field in dataclasses.fields(kind)}
    told = {name: value for name, value in values.items() if name in fields and value is not None}
    told |= {name: told[name]["bytes"] for name in PICTURES if name in told}
    status, reason = Status(told.pop("status", Status.OK)), told.pop("reason", None)
    known = next((one for one in Reason if one == reason), None)  # another version may have had others
    return kind(**{"path": "", **told, "status": status, "reason": known})
