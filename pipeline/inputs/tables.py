"""Lists and tables that users hand in, read as text: ``0012`` stays ``0012``, ``NA`` stays ``NA``."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from pipeline.arrow import open_parquet
from pipeline.config import UserError
from pipeline.inputs.files import open_file, read_text

Cells = dict[str, str]
"""A row: cell by column; empty cells are left out."""

csv.field_size_limit(2**31 - 1)  # a note beside a photo may be longer than csv's 128 kB
_LINE_END = re.compile(r"\r\n|\n|\r")
_DELIMITERS = ",;\t"


def read_lines(url: str) -> list[str]:
    """The lines of a text file, without their ends, blanks kept: a name may begin with one."""
    return _LINE_END.split(read_text(url, "sources"))


def read_csv(url: str, what: str, key: Sequence[str]) -> tuple[str, list[Cells]]:
    """A table with a header; comma, semicolon or tab between cells, whichever makes a column of ``key`` appear.

    Args:
        what: What the file is to the user, for the message.
        key: Names of the column that must be there; the first that is there is taken.

    Returns:
        The name of the key column, and the rows, keyed by their columns' names in small letters.

    Raises:
        UserError: No such column, or not a table; names the line.
    """
    text = read_text(url, what)
    for delimiter in _DELIMITERS:
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        try:
            header = next(rows, [])
            names = [name.strip().lower() for name in header]
            column = next((name for name in key if name in names), None)
            if column:
                return column, list(_cells(names, rows, f"{what}: {url}"))
        except csv.Error as error:
            raise UserError(f"{what}: {url}: line {rows.line_num}: cannot be read as a table: {error}") from error
        if delimiter == _DELIMITERS[0]:
            told = ", ".join(header)[:200]
    raise UserError(f"{what}: {url}: no column {key[0]!r} (columns: {told})")


def _cells(names: list[str], rows: Any, where: str) -> Iterator[Cells]:
    for row in rows:
        if any(row[len(names) :]):
            raise UserError(
                f"{where}: line {rows.line_num}: {len(row)} cells under {len(names)} columns; "
                "put quotes around what has a comma in it"
            )
        cells = {name: cell for name, cell in zip(names, row, strict=False) if cell}
        if cells:
            yield cells


def read_parquet(url: str, what: str, key: Sequence[str], others: Sequence[str]) -> tuple[str, list[Cells]]:
    """The same of a Parquet file, of which only the named columns are read.

    Raises:
        UserError: No such column, or not a table.
    """
    try:
        with open_file(url) as file:
            parquet = open_parquet(file)
            present = parquet.schema_arrow.names
            column = next((name for name in key if name in present), None)
            if column is None:
                raise UserError(f"{what}: {url}: no column {key[0]!r} (columns: {', '.join(present)[:200]})")
            wanted = [column, *(name for name in others if name in present)]
            table = parquet.read(columns=wanted, use_threads=False)
            table.validate(full=True)  # text may be none
    except (pa.ArrowException, OSError) as error:
        said = " ".join(str(error).split())[:200]
        raise UserError(f"{what}: {url}: cannot be read as a table: {said}") from error
    rows = [{name: _text(value) for name, value in row.items() if value is not None} for row in table.to_pylist()]
    return column, [{name: cell for name, cell in row.items() if cell} for row in rows]


def _text(value: object) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
