"""Stage ``sources``: opens the listed files and makes squares of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

from pipeline import ids
from pipeline.config import SourceSettings
from pipeline.imaging.decode import Refused, read_picture
from pipeline.imaging.frame import square
from pipeline.imaging.phash import phash
from pipeline.imaging.png import to_png
from pipeline.inputs.files import NotAFile, open_file
from pipeline.inputs.formats import UNSUPPORTED, suffix
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
    version: ClassVar[int] = 2
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
            yield self._one(row)

    def _one(self, row: Listed) -> Source:
        """The row of one source, whatever becomes of it: it must not take its shard along."""
        blank = row.grow(Source, source_id=ids.source_id(row.path))
        try:
            return self._read(row)
        except Refused as refused:
            return blank.reject(refused.reason, refused.detail)
        except Exception as error:  # a lost connection is worth another try, and so is want of memory
            return blank.fail(error)

    def _read(self, row: Listed) -> Source:
        if suffix(row.path) in UNSUPPORTED:
            raise Refused(Reason.UNSUPPORTED_FORMAT, f"no decoder for {suffix(row.path)}")
        try:
            with open_file(row.location) as file:
                data = file.read(MAX_BYTES + 1)
        except NotAFile as error:
            raise Refused(Reason.NOT_A_FILE, str(error)) from error
        if len(data) > MAX_BYTES:
            raise Refused(Reason.TOO_LARGE, f"more than {MAX_BYTES} bytes")
        if not data:
            raise Refused(Reason.EMPTY_FILE, "0 bytes")
        blank = row.grow(Source, source_id=ids.source_id(data))
        try:
            picture = read_picture(data, self.max_pixels, self.min_side)
            squared, frame = square(picture.image, self.size)
            return replace(
                blank,
                source_image=to_png(squared),
                frame=frame,
                source_width=picture.image.width,
                source_height=picture.image.height,
                source_orientation=picture.orientation,
                source_phash=phash(picture.image),
                detail=picture.note,
            )
        except Refused as refused:
            return blank.reject(refused.reason, refused.detail)
        except Exception as error:
            return blank.fail(error)
