"""Rows as Arrow tables: the schema is read off the row's annotations, and rows come back as they were."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Sequence
from typing import IO, Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.records import AnyRow, Reason, Row, Status

_ARROW: dict[Any, pa.DataType] = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float32(),
    bool: pa.bool_(),
    bytes: pa.binary(),
    Status: pa.string(),
    Reason: pa.string(),
    list[float]: pa.list_(pa.float32()),
}
_SCHEMAS: dict[type[Row], pa.Schema] = {}


def schema_of(kind: type[Row]) -> pa.Schema:
    """The Arrow schema of a row type, read off its annotations (once: rows are many)."""
    if kind not in _SCHEMAS:
        _SCHEMAS[kind] = _read_schema(kind)
    return _SCHEMAS[kind]


def _read_schema(kind: type[Row]) -> pa.Schema:
    hints = typing.get_type_hints(kind, include_extras=True)
    return pa.schema([_arrow_field(f.name, hints[f.name]) for f in dataclasses.fields(kind)])


def told_schema(rows: Sequence[Row], kind: type[Row]) -> pa.Schema:
    """The columns in which any of the rows says something: a column of defaults alone need not be stored."""
    defaults = _defaults(kind)  # type: ignore[arg-type]  # mypy: a dataclass has no hash
    told = {name for row in rows for name, value in vars(row).items() if value != defaults[name]}
    return _columns(kind, frozenset(told))  # type: ignore[arg-type]


@functools.cache
def _columns(kind: type[Row], names: frozenset[str]) -> pa.Schema:
    return pa.schema([field for field in schema_of(kind) if field.name in names])


def to_table(rows: list[Any], kind: type[Row], schema: pa.Schema | None = None) -> pa.Table:
    """Rows as a table (one row per row, in order); ``schema`` None: all columns."""
    schema = schema or schema_of(kind)
    values = [{name: _storable(getattr(row, name)) for name in schema.names} for row in rows]
    # one call for all columns: each call costs more than a few values do
    table = pa.Table.from_struct_array(pa.array(values, pa.struct(list(schema))))
    return table.cast(schema) if table.schema != schema else table


def from_table(table: pa.Table, kind: type[AnyRow]) -> list[AnyRow]:
    """The rows back, enums included; columns that are not there come back with their default."""
    rows = []
    for values in table.to_pylist():
        if "status" in values:
            values["status"] = Status(values["status"])
        if values.get("reason"):
            values["reason"] = Reason(values["reason"])
        for name in ("keypoints", "frame"):
            if name in values and values[name] is None:
                values[name] = []
        rows.append(kind(**values))
    return rows


_NOTHING = object()


@functools.cache
def _defaults(kind: type[Row]) -> dict[str, Any]:
    """A row type's defaults by field; a field without one has a value that no row has."""
    return {f.name: _NOTHING if f.default is dataclasses.MISSING else f.default for f in dataclasses.fields(kind)}


def _storable(value: Any) -> Any:
    """An empty keypoint list cannot be stored in a fixed-size list column: it is stored as null."""
    return None if value == [] else value


def _arrow_field(name: str, hint: Any) -> pa.Field:
    nullable = False
    if isinstance(hint, types.UnionType):
        inner = [part for part in typing.get_args(hint) if part is not type(None)]
        hint, nullable = inner[0], True
    if typing.get_origin(hint) is Annotated:
        base, arrow = typing.get_args(hint)
        if isinstance(arrow, pa.DataType):
            return pa.field(name, arrow, True)
        hint = base
    return pa.field(name, _ARROW[hint], nullable or hint == list[float])


def open_parquet(file: IO[bytes] | pa.NativeFile, *, check_pages: bool = False) -> pq.ParquetFile:
    """Opens a Parquet file that Arrow reads in the calling thread alone, if read with ``use_threads=False``.

    Reading ahead (``pre_buffer``) is left to a thread of Arrow's, which calls our Python file. One that still holds it
    when the interpreter ends aborts the process: "terminate called without an active exception".

    Args:
        file: Open for reading.
        check_pages: Whether to hold pages against their checksums.
    """
    return pq.ParquetFile(file, pre_buffer=False, page_checksum_verification=check_pages)
