"""Whether a manifest has the columns it should have, of the types they should be."""

from __future__ import annotations

import pyarrow as pa

from pipeline.manifest.read import Manifest
from pipeline.manifest.schema import OPTIONAL, SCHEMA
from pipeline.manifest.validate.problems import MEND, Problems


def usable_columns(manifest: Manifest, problems: Problems) -> list[str]:
    """Names of the columns whose values can be checked; the rest, and what is odd about these, is told."""
    usable = set(SCHEMA.names)
    for number, path in enumerate(manifest.paths):
        with manifest.open_part(number) as parquet:
            schema = parquet.schema_arrow
        where = "" if len(manifest.paths) == 1 else f" in {path.rsplit('/', 1)[-1]}"
        for expected in SCHEMA:
            if expected.name not in schema.names:
                problems.add(None, expected.name, f"is missing{where}")
                usable.discard(expected.name)
                continue
            if schema.names.count(expected.name) > 1:
                problems.add(None, expected.name, f"is there {schema.names.count(expected.name)} times{where}")
                usable.discard(expected.name)
                continue
            found = schema.field(expected.name).type
            if not _holds(found, expected):
                problems.add(None, expected.name, f"is {found}, not {expected.type}{where}", remedy=MEND)
                if _sort_of(found) != _sort_of(expected.type):
                    usable.discard(expected.name)
        for name in schema.names:
            if name not in SCHEMA.names and not name.startswith("__index_level_"):  # pandas' own
                problems.add(None, name, f"is no column of a manifest{where}", remedy=MEND)
    return [name for name in SCHEMA.names if name in usable]


def _holds(found: pa.DataType, expected: pa.Field) -> bool:
    """Whether a type holds the same values in another layout: other writers choose others."""
    if pa.types.is_null(found):  # how some writers store a column that is empty throughout
        return expected.name in OPTIONAL
    return _layout(found) == _layout(expected.type)


def _layout(kind: pa.DataType) -> str:
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return "text"
    if pa.types.is_struct(kind):
        types = {kind.field(at).name: kind.field(at).type for at in range(kind.num_fields)}
        return "picture" if types.get("bytes") in (pa.binary(), pa.large_binary(), pa.binary_view()) else str(kind)
    if _is_list(kind):
        return f"list of {_layout(kind.value_type)}"
    return str(kind)


def _sort_of(kind: pa.DataType) -> str:
    """Types whose values can be checked alike, though they are not the same."""
    if pa.types.is_integer(kind):
        return "whole number"
    if pa.types.is_floating(kind):
        return "number"
    return f"list of {_sort_of(kind.value_type)}" if _is_list(kind) else _layout(kind)


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))
