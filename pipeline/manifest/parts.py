"""Writes a manifest: one Parquet file, or a folder of them when one would grow too large."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from pipeline import process
from pipeline.config import UserError, manifest_stem
from pipeline.manifest.checksum import BLANK
from pipeline.manifest.digest import RowsDigest
from pipeline.manifest.generations import newest, read_generation, sweep
from pipeline.manifest.part import PartWriter, picture_bytes
from pipeline.manifest.places import next_generation, part_path

MAX_PART_BYTES = 500 * 1000 * 1000
MAX_PART_ROWS = 10_000
"""What Parquet keeps in memory of a file until it is complete, and to read it, grows with its rows: .8 kB a row."""
MAX_THREADS = 8
"""Parts written side by side: each holds a row group of pictures, and a store takes only so much at a time."""
Made = TypeVar("Made")
Fill = Callable[[PartWriter, threading.Event], Made]
"""Adds its rows to a part; gives up when the event is set."""


class PartsWriter:
    """Takes rows one by one, or whole parts side by side.

    Parts are finished out of sight and put in their places at the end, the last one last. It says of itself that it is
    the last, and what the whole holds. All carry the name of this writing, its *generation*, so a reader takes the old
    manifest until the last part is there and the new one from then on; what is left of the old one goes afterwards.
    Whether there will be a second part, and so what the first is called, is known only when all is written.
    """

    def __init__(self, path: str, footer: Mapping[str, Any], max_bytes: int) -> None:
        manifest_stem(path)
        here = None
        with suppress(UserError):
            here = newest(path)
        if here:
            sweep(path, here)  # what a killed writer left may fill the disk
        self.path, self.max_bytes = path, max_bytes
        self.generation = next_generation(path, here.name if here else "", footer)
        self.footer = {**footer, "generation": self.generation, "checksum": BLANK}
        self.paths: list[str] = []
        self.digest = RowsDigest()
        self._parts: dict[int, PartWriter] = {}

    @property
    def rows(self) -> int:
        """Taken so far."""
        return sum(part.rows for part in self._parts.values())

    def add(self, row: Mapping[str, Any]) -> None:
        last = self._last
        if last.rows and (last.bytes + picture_bytes(row) > self.max_bytes or last.rows == MAX_PART_ROWS):
            self._close_part(len(self._parts) - 1)
            last = self._open_part(len(self._parts))
        last.add(row)

    def fill(self, fills: Sequence[Fill[Made]], take: Callable[[Made], object]) -> None:
        """Writes a part for each of ``fills``, a few side by side; more rows would go behind those of the last.

        Args:
            fills: Add their rows to the part that they are given.
            take: Is given what each of them gives, in their order.
        """
        stop = threading.Event()
        first, last = len(self._parts), len(self._parts) + len(fills) - 1

        def write(number: int, fill: Fill[Made]) -> Made:
            made = fill(self._open_part(number), stop)
            if number < last and not stop.is_set():  # the last one is closed when all is known
                self._close_part(number)
            return made

        with ThreadPoolExecutor(min(MAX_THREADS, process.cores())) as pool:
            try:
                for made in pool.map(write, range(first, last + 1), fills):
                    take(made)
            except BaseException:
                stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def close(self, more: Mapping[str, Any] | None = None) -> None:
        """Puts all in place; from the moment that the last part is there, this is the manifest.

        Args:
            more: Goes into the last part's footer.
        """
        last, count = self._last, len(self._parts)
        for part in self._parts.values():
            self.digest.merge(part.digest)
        total = {"parts": count, "rows": self.rows, "digest": self.digest.value}
        last.close({**self.footer, **(more or {}), "total": total, "part": count - 1})
        self.paths = [self.path] if count == 1 else [part_path(self.path, n, self.generation) for n in range(count)]
        for number, place in enumerate(self.paths):
            self._parts[number].place(place)
        sweep(self.path, read_generation(self.paths))

    def abort(self) -> None:
        """Drops what was written."""
        for part in self._parts.values():
            part.abort()

    @property
    def _last(self) -> PartWriter:
        return self._parts[len(self._parts) - 1] if self._parts else self._open_part(0)

    def _open_part(self, number: int) -> PartWriter:
        part = self._parts[number] = PartWriter(self.path)
        return part

    def _close_part(self, number: int) -> None:
        self._parts[number].close({**self.footer, "part": number})
