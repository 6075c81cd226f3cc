"""Rows as Arrow tables and back, and how Parquet files are opened.

A row's pictures and keypoints have columns of their own; the rest of it is one JSON object in the column ``row``. That
is for small fragments: Parquet takes some 30 microseconds to write and read a column, however few rows it has, and rows
have up to 31 fields. What is the type's default is left out. The types are read off the row's annotations.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import struct
import types
import typing
from collections.abc import Callable, Sequence
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
REST = "row"
"""The column of all that has none of its own."""
_SCHEMAS: dict[type[Row], pa.Schema] = {}
_PACKED = struct.Struct("<f")


def schema_of(kind: type[Row]) -> pa.Schema:
    """The Arrow type of each field of a row type, read off its annotations (once: rows are many)."""
    if kind not in _SCHEMAS:
        _SCHEMAS[kind] = _read_schema(kind)
    return _SCHEMAS[kind]


def _read_schema(kind: type[Row]) -> pa.Schema:
    hints = typing.get_type_hints(kind, include_extras=True)
    return pa.schema([_arrow_field(f.name, hints[f.name]) for f in dataclasses.fields(kind)])


def stored_schema(rows: Sequence[Row], kind: type[Row]) -> pa.Schema:
    """The columns that these rows need: :data:`REST`, and those of their own in which any of the rows has something."""
    own, _ = _layout(kind)  # type: ignore[arg-type]  # mypy: a dataclass has no hash
    told = tuple(name for name in own if any(getattr(row, name) not in (None, []) for row in rows))
    return _columns(kind, told)  # type: ignore[arg-type]


def columns_of(kind: type[Row]) -> list[str]:
    """Names of all columns that rows of a type may have."""
    return [REST, *schema_of(kind).names]  # fields had a column each, once: such fragments can still be read


def to_table(rows: Sequence[Row], kind: type[Row], schema: pa.Schema | None = None) -> pa.Table:
    """Rows as a table (one row per row, in order).

    Args:
        rows: The rows.
        kind: Their type.
        schema: From :func:`stored_schema`, if more than these rows are to be stored together.
    """
    schema = schema or stored_schema(rows, kind)
    _, rest = _layout(kind)  # type: ignore[arg-type]  # mypy: a dataclass has no hash
    texts = pa.array([_rest(row, rest) for row in rows], pa.string())
    own = [pa.array([_storable(getattr(row, field.name)) for row in rows], field.type) for field in list(schema)[1:]]
    return pa.Table.from_arrays([texts, *own], schema=schema)


def from_table(table: pa.Table, kind: type[AnyRow]) -> list[AnyRow]:
    """The rows back, enums included; columns that are not there come back with their default."""
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    texts = columns.pop(REST, None) or ["{}"] * table.num_rows
    rows = []
    for at, text in enumerate(texts):
        values = json.loads(text)
        for name, column in columns.items():
            values[name] = column[at]
        if "status" in values:
            values["status"] = Status(values["status"])
        if values.get("reason"):
            values["reason"] = Reason(values["reason"])
        for name in ("keypoints", "frame"):
            if name in values and values[name] is None:
                values[name] = []
        rows.append(kind(**values))
    return rows


Form = Callable[[Any], Any]


@functools.cache
def _layout(kind: type[Row]) -> tuple[tuple[str, ...], tuple[tuple[str, Any, Form | None], ...]]:
    """The fields with a column of their own; and the others, each with its default and, if it needs one, its form."""
    defaults = {f.name: _default(f) for f in dataclasses.fields(kind)}
    own: list[str] = []
    rest: list[tuple[str, Any, Form | None]] = []
    for field in schema_of(kind):
        if pa.types.is_binary(field.type) or pa.types.is_fixed_size_list(field.type):
            own.append(field.name)
        elif pa.types.is_list(field.type):
            rest.append((field.name, defaults[field.name], _float32s))
        else:
            rest.append((field.name, defaults[field.name], float32 if pa.types.is_floating(field.type) else None))
    return tuple(own), tuple(rest)


@functools.cache
def _columns(kind: type[Row], own: tuple[str, ...]) -> pa.Schema:
    return pa.schema([pa.field(REST, pa.string(), False), *(schema_of(kind).field(name) for name in own)])


def _rest(row: Row, fields: Sequence[tuple[str, Any, Form | None]]) -> str:
    told = {}
    for name, default, form in fields:
        value = getattr(row, name)
        if value != default:
            told[name] = value if form is None or value is None else form(value)
    return _JSON(told)


_JSON = json.JSONEncoder(separators=(",", ":")).encode


def float32(value: float) -> float:
    """A number as it will be once it has been stored."""
    try:
        return float(_PACKED.unpack(_PACKED.pack(value))[0])
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _float32s(values: Sequence[float]) -> list[float]:
    return [float32(value) for value in values]


def _storable(value: Any) -> Any:
    """An empty keypoint list cannot be stored in a fixed-size list column: it is stored as null."""
    return None if value == [] else value


_NOTHING = object()


def _default(field: dataclasses.Field[Any]) -> Any:
    """A field's default; what no row has, where there is none."""
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return _NOTHING if field.default is dataclasses.MISSING else field.default


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

    Raises:
        pa.ArrowException: It is not readable.
    """
    try:
        return pq.ParquetFile(file, pre_buffer=False, page_checksum_verification=check_pages)
    except UnicodeDecodeError as error:
        raise pa.ArrowInvalid(f"a column's name is no text: {error}") from error
