"""Rows as Arrow tables: the schema is read off the row's annotations, and rows come back as they were."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Annotated, Any

import pyarrow as pa

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


def to_table(rows: list[Any], kind: type[Row]) -> pa.Table:
    """Rows as a table (one row per row, in order)."""
    names = [f.name for f in dataclasses.fields(kind)]
    schema = schema_of(kind)
    columns = [pa.array([_storable(getattr(row, name)) for row in rows], schema.field(name).type) for name in names]
    return pa.Table.from_arrays(columns, schema=schema)


def from_table(table: pa.Table, kind: type[AnyRow]) -> list[AnyRow]:
    """The rows back, enums included."""
    rows = []
    for values in table.to_pylist():
        values["status"] = Status(values["status"])
        values["reason"] = Reason(values["reason"]) if values["reason"] else None
        for name in ("keypoints", "frame"):
            if name in values and values[name] is None:
                values[name] = []
        rows.append(kind(**values))
    return rows


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
