"""Proves a manifest sound, or lists what is wrong with it. Works on files that other programs wrote, too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from pipeline import store
from pipeline.config import SourceSettings, Splits, UserError
from pipeline.manifest.digest import RowsDigest
from pipeline.manifest.read import Manifest
from pipeline.manifest.schema import OPTIONAL, REJECTED_SCHEMA, SCHEMA
from pipeline.manifest.validate.factors import Factors
from pipeline.manifest.validate.problems import Problem, Problems
from pipeline.manifest.validate.rows import check_row


def validate(path: str) -> list[Problem]:
    """Checks schema, ids, checksums, pictures, keypoints, scores, factor counts, splits and digest.

    Args:
        path: The manifest: file, or folder of parts.

    Returns:
        What is wrong, each with row and column where that can be said; empty for a sound manifest.
    """
    problems = Problems()
    try:
        manifest = Manifest(path)
        columns = _check_schema(manifest, problems)
        footer = _Footer(manifest.footer)
        factors = Factors(footer.subjects, footer.backgrounds, footer.distance)
        # a digest can be compared only where every value is of the very type that it was made from
        exact = all(column in columns and columns[column] == SCHEMA.field(column).type for column in SCHEMA.names)
        digest = RowsDigest()
        number = 0
        for batch in manifest.batches(list(columns)):
            for row in batch.to_pylist():
                for column, message in check_row(row, footer.seed, footer.splits):
                    problems.add(number, column, message)
                factors.add(number, row, problems)
                try:
                    if exact:
                        digest.add(row)
                except (TypeError, ValueError):  # e.g. a gap inside the keypoints; named above
                    exact = False
                number += 1
        factors.finish(_rejected(manifest, problems), problems)
        if not number:
            problems.add(None, None, "there are no rows")
        _check_footer(manifest, digest.value if exact else None, problems)
    except UserError as error:
        problems.add(None, None, str(error))
    except (pa.ArrowException, OSError) as error:
        problems.add(None, None, f"cannot be read to its end: {error}")
    return problems.list()


class _Footer:
    """What the footer says that rows can be held against; None where it does not say it."""

    def __init__(self, footer: Mapping[str, Any]) -> None:
        config, profile = _mapping(footer.get("config")), _mapping(footer.get("profile"))
        self.seed, self.subjects, self.backgrounds = (
            _whole(config.get(name)) for name in ("seed", "subjects", "backgrounds")
        )
        self.splits: Splits | None = None
        if "splits" in profile:
            try:
                self.splits = Splits.model_validate(profile["splits"])
            except ValidationError:
                self.splits = None
        distance = _whole(_mapping(profile.get("sources")).get("phash_distance"))
        self.distance = SourceSettings(size=1).phash_distance if distance is None else distance


def _check_schema(manifest: Manifest, problems: Problems) -> dict[str, pa.DataType]:
    """The columns that can be checked further, with their types."""
    usable: dict[str, pa.DataType] = {}
    for part, path in enumerate(manifest.paths):
        with store.open_input(path) as file:
            schema = pq.read_schema(file)
        where = "" if len(manifest.paths) == 1 else f" in {path.rsplit('/', 1)[-1]}"
        here: dict[str, pa.DataType] = {}
        for expected in SCHEMA:
            if expected.name not in schema.names:
                problems.add(None, expected.name, f"is missing{where}")
                continue
            found = schema.field(expected.name).type
            if pa.types.is_null(found) and expected.name in OPTIONAL:
                continue  # how some writers store a column that is empty throughout
            if _sort_of(found) != _sort_of(expected.type):
                problems.add(None, expected.name, f"is {found}, not {expected.type}{where}")
            else:
                here[expected.name] = found
        usable = here if part == 0 else {name: kind for name, kind in usable.items() if here.get(name) == kind}
    return usable


def _sort_of(kind: pa.DataType) -> str:
    """Types that hold the same values: other writers choose other widths."""
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return "text"
    if pa.types.is_integer(kind):
        return "whole number"
    if pa.types.is_floating(kind):
        return "number"
    if pa.types.is_struct(kind):
        types = {kind.field(at).name: kind.field(at).type for at in range(kind.num_fields)}
        return "picture" if types.get("bytes") in (pa.binary(), pa.large_binary()) else str(kind)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return f"list of {_sort_of(kind.value_type)}"
    return str(kind)


def _rejected(manifest: Manifest, problems: Problems) -> list[dict[str, Any]] | None:
    """Kind and source of what did not get in; None where the list is not beside the manifest, or broken."""
    if not store.exists(manifest.rejected_path):
        return None
    with store.open_input(manifest.rejected_path) as file:
        try:
            parquet = pq.ParquetFile(file)
        except (pa.ArrowException, OSError) as error:
            problems.add(None, None, f"{manifest.rejected_path}: not a readable Parquet file: {error}")
            return None
        missing = [name for name in REJECTED_SCHEMA.names if name not in parquet.schema_arrow.names]
        if missing:
            problems.add(None, None, f"{manifest.rejected_path}: lacks the columns {', '.join(missing)}")
            return None
        rows: list[dict[str, Any]] = parquet.read(columns=["kind", "source_id"]).to_pylist()
        return rows


def _check_footer(manifest: Manifest, digest: str | None, problems: Problems) -> None:
    if not manifest.footer:
        problems.add(None, None, "the Parquet footer does not say how it was made (no 'spotdiff' metadata)")
        return
    for footer in manifest.footers:
        total = footer.get("total")
        if total and total.get("rows") != manifest.rows:
            problems.add(None, None, f"{manifest.rows} rows, the footer says {total.get('rows')}")
        if total and digest is not None and total.get("digest") != digest:
            problems.add(None, None, f"digest of the rows is {digest}, the footer says {total.get('digest')}")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
