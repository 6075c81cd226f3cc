"""Stage ``sources``: opens the listed files and makes squares of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from pipeline import ids, store
from pipeline.config import SourceSettings
from pipeline.imaging.decode import Refused, decode
from pipeline.imaging.frame import square
from pipeline.imaging.phash import phash
from pipeline.imaging.png import to_png
from pipeline.records import Listed, Reason, Source

MAX_BYTES = 256 * 2**20
"""Larger files are refused unread."""


@dataclass(frozen=True)
class Sources:
    """Decodes, squares, resizes and hashes; refuses what cannot or should not be read.

    Attributes:
        size: Side of the squares, pixels.
        max_pixels, min_side: Limits on the original, pixels.
    """

    size: int
    max_pixels: int = 64_000_000
    min_side: int = 32

    name: ClassVar[str] = "sources"
    version: ClassVar[int] = 1
    row: ClassVar[type[Source]] = Source

    @classmethod
    def of(cls, settings: SourceSettings) -> Sources:
        """The stage as a profile sets it."""
        size = settings.extractor_size or settings.size
        return cls(size=size, max_pixels=settings.max_pixels, min_side=settings.min_side)

    def settings(self) -> dict[str, Any]:
        return asdict(self)

    def expand(self, rows: Sequence[Listed]) -> list[Listed]:
        """The listing itself: what a source's row is called is known only once its file is read."""
        return list(rows)

    def process(self, rows: Sequence[Listed]) -> Iterator[Source]:
        for row in rows:
            yield self._read(row)

    def _read(self, row: Listed) -> Source:
        blank = row.grow(Source, source_id=ids.source_id(row.path))
        try:
            with store.open_input(row.location) as file:
                data = file.read(MAX_BYTES + 1)
        except OSError as error:  # a lost connection is worth another try, a broken picture is not
            return blank.fail(error)
        if len(data) > MAX_BYTES:
            return blank.reject(Reason.TOO_LARGE, f"more than {MAX_BYTES} bytes")
        if data:
            blank = row.grow(Source, source_id=ids.source_id(data))
        try:
            image = decode(data, self.max_pixels, self.min_side)
        except Refused as refused:
            return blank.reject(refused.reason, refused.detail)
        squared, frame = square(image, self.size)
        return row.grow(
            Source,
            source_id=blank.source_id,
            source_image=to_png(squared),
            frame=frame,
            source_width=image.width,
            source_height=image.height,
            source_phash=phash(image),
        )
