"""A new manifest while it is written: its rows, and the list of what did not get in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pipeline.manifest.parts import MAX_PART_BYTES, PartsWriter
from pipeline.manifest.rejected import RejectedWriter


@contextmanager
def new_manifest(
    path: str, footer: Mapping[str, Any], max_part_bytes: int = MAX_PART_BYTES
) -> Iterator[tuple[PartsWriter, RejectedWriter]]:
    """Writers of both. They take the old pair's place together when the block ends, and leave nothing if it fails.

    Args:
        path: ``….parquet``, local or a URL.
        footer: What the manifest says of itself; the place of the list is added.
        max_part_bytes: Upper bound of a part's pictures, bytes.
    """
    rows = PartsWriter(path, footer, max_part_bytes)
    rejected = RejectedWriter(path, rows.generation)
    try:
        yield rows, rejected
        rows.close({"rejected": rejected.close()})
    except BaseException:
        rows.abort()
        rejected.abort()
        raise
