"""Some of a manifest's rows as a manifest of their own; and a sound one of what another program wrote."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import ids, store
from pipeline.arrow import open_parquet
from pipeline.config import UserError
from pipeline.manifest.columns import as_written
from pipeline.manifest.footer import code_version
from pipeline.manifest.read import Manifest
from pipeline.manifest.schema import FORMAT, REJECTED_SCHEMA, SCHEMA
from pipeline.manifest.where import condition, fitting
from pipeline.manifest.writing import new_manifest

OF_THE_FILE = frozenset({"generation", "checksum", "part", "rows", "digest", "total", "rejected"})
"""What a footer says of the file that it is in, not of how the rows were made."""
ORDER = ("source_id", "subject_id", "background_id")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which rows to keep.

    Attributes:
        where: See :mod:`pipeline.manifest.where`. split: Only rows of this split.
        sample: So many of them, drawn by ``seed`` and the rows' ids alone.
    """

    where: str | None = None
    split: str | None = None
    sample: int | None = None
    seed: int = 0

    def expression(self) -> pc.Expression | None:
        """As an Arrow expression; None: all rows."""
        parts = [condition(self.where, SCHEMA.names)] if self.where else []
        if self.split:
            parts.append(pc.field("split") == self.split)
        return parts[0] & parts[1] if len(parts) == 2 else parts[0] if parts else None


def filter_manifest(path: str, out: str, choice: Choice, parent: str | None = None) -> Manifest:
    """Writes the chosen rows as a manifest; memory stays at one row group (and the ids of a sample).

    Args:
        path: The manifest, or a file with its columns that another program wrote.
        out: Where to write, ``….parquet``.
        choice: Which rows.
        parent: The manifest that the rows were taken from, where ``path`` does not say itself how it was made.

    Raises:
        UserError: Columns are missing, rows are out of order or damaged, or none fits.
    """
    manifest = Manifest(path)
    if store.filesystem(manifest.path)[1] == store.filesystem(out)[1]:
        raise UserError(f"--out {out}: is the manifest itself; name another file")
    check_columns(manifest)
    origin = manifest if "format" in manifest.footer or parent is None else Manifest(parent)
    with new_manifest(out, _footer(manifest, origin, choice)) as (writer, rejected):
        for batch in _chosen(manifest, choice):
            for row in batch.to_pylist():
                writer.add(row)
        if not writer.rows:
            raise UserError(f"manifest {path}: none of its {manifest.rows} rows fits; nothing was written")
        for row in misses_of(origin):
            rejected.add_values(row)
    return Manifest(out)


def check_columns(manifest: Manifest) -> None:
    if missing := manifest.missing_columns:
        raise UserError(f"manifest {manifest.path}: lacks the columns {', '.join(missing)}; keep them when you filter")


def _footer(manifest: Manifest, origin: Manifest, choice: Choice) -> dict[str, Any]:
    """All that is known of how the rows were made, and how they were chosen."""
    known = {name: value for name, value in origin.footer.items() if name not in OF_THE_FILE}
    if "format" not in known:  # the provenance is lost
        known = {"created": datetime.now(UTC).isoformat(timespec="seconds"), "code_version": code_version()}
    filtered: dict[str, Any] = {name: value for name, value in asdict(choice).items() if value is not None}
    filtered["parent"] = origin.digest if origin.footer.get("digest") else None
    filtered["parent_rows"] = origin.rows
    if "filtered" in known:
        filtered["before"] = known["filtered"]
    return {"format": FORMAT, **known, "filtered": filtered}


def _chosen(manifest: Manifest, choice: Choice) -> Iterator[pa.RecordBatch]:
    wanted = choice.expression()
    drawn = _sample(manifest, wanted, choice) if choice.sample is not None else None
    last: tuple[str, ...] = ()
    for batch in manifest.batches():
        rows = fitting(complete(manifest, batch), wanted)
        if drawn is not None:
            rows = rows.filter(pc.is_in(rows.column("variation_id"), pa.array(sorted(drawn), pa.string())))
        for key in zip(*(rows.column(name).to_pylist() for name in ORDER), strict=True):
            if None in key or key <= last:
                raise UserError(
                    f"manifest {manifest.path}: row {'/'.join(map(str, key))} is there twice or out of order; "
                    f"sort the rows by {', '.join(ORDER)}"
                )
            last = key
        yield rows


def complete(manifest: Manifest, batch: pa.RecordBatch) -> pa.RecordBatch:
    """All columns of the schema, in order and of its types; an optional one that is not there is empty."""
    here = set(batch.schema.names)
    columns = [
        batch.column(name) if name in here else pa.nulls(batch.num_rows, SCHEMA.field(name).type)
        for name in SCHEMA.names
    ]
    whole = as_written(pa.RecordBatch.from_arrays(columns, names=SCHEMA.names))
    odd = [field.name for field in whole.schema if field.type != SCHEMA.field(field.name).type]
    if odd:
        raise UserError(f"manifest {manifest.path}: column {odd[0]} does not hold {SCHEMA.field(odd[0]).type}")
    return whole


def _sample(manifest: Manifest, wanted: pc.Expression | None, choice: Choice) -> set[str]:
    """Ids of the drawn rows: those whose ids, hashed with the seed, come first."""
    assert choice.sample is not None
    light = [name for name in SCHEMA.names if name not in ("image", "mask", "control", "keypoints")]
    here = [name for name in light if name in manifest.columns]
    names = (
        name for batch in manifest.batches(here) for name in fitting(batch, wanted).column("variation_id").to_pylist()
    )
    return set(heapq.nsmallest(choice.sample, names, key=lambda name: ids.digest(["sample", choice.seed, name])))


def misses_of(origin: Manifest) -> Iterator[dict[str, Any]]:
    """What did not get into the manifest that the rows are from, where that is known."""
    if not store.exists(origin.rejected_path):
        return
    try:
        with store.open_input(origin.rejected_path) as file, open_parquet(file) as parquet:
            if set(REJECTED_SCHEMA.names) <= set(parquet.schema_arrow.names):
                for batch in parquet.iter_batches(columns=REJECTED_SCHEMA.names, use_threads=False):
                    yield from batch.to_pylist()
    except pa.ArrowException as error:
        raise UserError(
            f"{origin.rejected_path}: the list of what did not get in cannot be read ({error}); "
            "get the file again, or move it away to filter without it"
        ) from error
