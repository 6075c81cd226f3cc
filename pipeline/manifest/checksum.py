"""A checksum over what describes a Parquet file's rows: the footer and the page index.

The rows prove themselves by their digest, pages by their CRC, but a flipped bit in a statistic or a model's licence
would be seen by neither. The checksum is kept in our footer, as sha256 of all bytes behind the last page with the 64
digits themselves counted as zeros.
"""

from __future__ import annotations

import hashlib
from typing import IO

from pipeline.arrow import open_parquet

BLANK = "0" * 64
"""Stands in the footer until the file is complete."""
_KEY = b'"checksum": "'


def stamp(file: IO[bytes]) -> None:
    """Puts the checksum of a complete file, open for reading and writing, in place of :data:`BLANK`."""
    start, tail = _tail(file)
    at = tail.index(_KEY + BLANK.encode()) + len(_KEY)
    file.seek(start + at)
    file.write(hashlib.sha256(tail).hexdigest().encode())
    file.flush()


def fits(file: IO[bytes], checksum: str) -> bool:
    """Whether a file's footer and page index are as they were stamped."""
    _, tail = _tail(file)
    blank = tail.replace(_KEY + checksum.encode("utf-8", "replace"), _KEY + BLANK.encode())
    return hashlib.sha256(blank).hexdigest() == checksum


def _tail(file: IO[bytes]) -> tuple[int, bytes]:
    """Where the last page ends, and all that follows."""
    metadata = open_parquet(file).metadata
    end = 4
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for at in range(group.num_columns):
            column = group.column(at)
            first = column.dictionary_page_offset or column.data_page_offset
            end = max(end, first + column.total_compressed_size)
    file.seek(end)
    return end, file.read()
