"""Parquet files that prove themselves: no byte of one can change without being found.

A file is ``row groups | note | seal | Parquet footer``. The note is JSON: what the writer has to say, and a sha256 of
each row group's bytes. The seal is the note's length and the sha256 of note and footer. To other readers it is plain
Parquet: they find the footer from the file's end, and the row groups from the footer. Proving bytes costs a small share
of decoding them, and whatever is read is proved first: the note alone, one row group, or all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.arrow import open_parquet

_END = b"PAR1"
_SEAL = 4 + hashlib.sha256().digest_size
_TAIL = 1 << 16
"""Bytes read at once from a file's end: more than most notes and footers have."""


class Damaged(ValueError):
    """Not what was written."""


def write_sealed(
    file: IO[bytes], schema: pa.Schema, groups: Iterable[pa.Table], said: Mapping[str, Any], pressed: Sequence[str] = ()
) -> None:
    """Writes one row group for each table.

    Args:
        file: Open for writing, empty.
        schema: Of all tables.
        groups: The tables.
        said: What the note is to say, JSON-able.
        pressed: Columns to compress. Of pictures there is nothing to be gained, and each column costs time.
    """
    taken, blocks = _Sink(), []
    sink = pa.BufferedOutputStream(pa.PythonFile(taken, mode="w"), 1 << 20)

    def put() -> None:
        sink.flush()
        data = taken.take()
        blocks.append([len(data), hashlib.sha256(data).hexdigest()])
        file.write(data)

    with pq.ParquetWriter(
        sink,
        schema,
        compression={name: "zstd" if name in pressed else "none" for name in schema.names},
        use_dictionary=False,  # of pictures it would only be a second copy
        write_statistics=False,  # and these would put pieces of pictures into the footer
        store_schema=False,
        write_page_checksum=True,  # for other readers
    ) as writer:
        put()  # the four bytes that each Parquet file begins with
        for table in groups:
            writer.write_table(table)
            put()
    sink.flush()
    footer = taken.take()
    note = json.dumps({**said, "blocks": blocks}, separators=(",", ":")).encode()
    seal = len(note).to_bytes(4, "little") + hashlib.sha256(note + footer).digest()
    file.write(note + seal + footer)


@dataclass(frozen=True)
class Sealed:
    """A sealed file whose note and footer have been proved.

    Attributes:
        said: What the note says.
        footer: Parquet's.
        blocks: Length and sha256 of each stretch of bytes: the file's first four, then the row groups.
        size: Of the file, bytes.
    """

    said: dict[str, Any]
    footer: bytes
    blocks: list[tuple[int, str]]
    size: int

    def sizes(self, columns: Sequence[str]) -> list[tuple[int, int]]:
        """Of each row group its rows, and the bytes of some of its columns as they are stored."""
        metadata = pq.read_metadata(pa.BufferReader(self.footer))
        found = []
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            of_columns = (group.column(at) for at in range(group.num_columns))
            size = sum(one.total_compressed_size for one in of_columns if one.path_in_schema in columns)
            found.append((group.num_rows, size))
        return found

    def read(self, file: IO[bytes], columns: Sequence[str], groups: Sequence[int] | None = None) -> pa.Table:
        """Reads and proves row groups.

        Args:
            file: The one that this was read from.
            columns: Which to decode, as far as they are there; the others are proved all the same.
            groups: Which, by number; None: all.

        Raises:
            Damaged: Bytes have changed.
        """
        wanted = range(len(self.blocks) - 1) if groups is None else groups
        data = np.zeros(self.size, np.uint8)  # memory that is never written to is never taken up
        starts = np.cumsum([0, *(length for length, _ in self.blocks)]).tolist()
        for number in wanted:
            (length, due), start = self.blocks[number + 1], starts[number + 1]
            file.seek(start)
            block = file.read(length)
            if hashlib.sha256(block).hexdigest() != due:
                raise Damaged(f"row group {number} has changed")
            data[start : start + length] = np.frombuffer(block, np.uint8)
        data[self.size - len(self.footer) :] = np.frombuffer(self.footer, np.uint8)
        with open_parquet(pa.BufferReader(pa.py_buffer(data))) as parquet:
            return parquet.read_row_groups(list(wanted), columns=list(columns), use_threads=False)


def open_sealed(file: IO[bytes]) -> Sealed:
    """Reads and proves a file's note and footer.

    Raises:
        Damaged: Bytes have changed, or it is no such file.
    """
    size = file.seek(0, 2)
    tail = _tail(file, size, _TAIL)
    footer = int.from_bytes(tail[-8:-4], "little") + 8
    if tail[-4:] != _END or footer + _SEAL > size:
        raise Damaged("cut off, or not a Parquet file")
    if footer + _SEAL > len(tail):
        tail = _tail(file, size, footer + _SEAL)
    due, note = tail[-footer - _SEAL + 4 : -footer], int.from_bytes(tail[-footer - _SEAL :][:4], "little")
    whole = note + _SEAL + footer
    if whole > size:
        raise Damaged("the note has changed")
    if whole > len(tail):
        tail = _tail(file, size, whole)
    text = tail[-whole : note - whole]
    if hashlib.sha256(text + tail[-footer:]).digest() != due:
        raise Damaged("note or footer have changed")
    said = json.loads(text)
    blocks = [(length, digest) for length, digest in said.pop("blocks")]
    if sum(length for length, _ in blocks) + whole != size:
        raise Damaged("bytes are missing or left over")
    return Sealed(said, tail[-footer:], blocks, size)


def _tail(file: IO[bytes], size: int, length: int) -> bytes:
    file.seek(max(0, size - length))
    return file.read()


class _Sink:
    """What a Parquet writer writes to: keeps the bytes until they are taken away."""

    closed = False

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        data = b"".join(self._parts)
        self._parts.clear()
        return data

    def flush(self) -> None: ...

    def close(self) -> None: ...
