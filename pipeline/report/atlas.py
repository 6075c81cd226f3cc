"""Thumbnails of one source side by side in a few WebP files: thousands of pictures without thousands of files."""

from __future__ import annotations

import io
from collections.abc import Callable

from PIL import Image, ImageOps

COLUMNS = 16
PER_FILE = COLUMNS * COLUMNS
"""Tiles of one file; the pages' style sheet and script count alike."""
MAX_SIDE = 128
"""Side of a thumbnail, pixels; smaller pictures are kept at their own size."""
_QUALITY = {True: 95, False: 85}
"""Of WebP, by whether the tile is no larger than 64 px: then it is all that there is to see."""
Put = Callable[[str, bytes], None]
"""Stores a file of the site under a name."""


class Atlas:
    """Takes pictures one by one and gives each the number of its tile; memory stays at one file's pictures.

    Args:
        name: Of the files: ``NAME-0.webp``, ``NAME-1.webp`` ....
        side: Of a tile, pixels.
        put: Takes the files.
    """

    def __init__(self, name: str, side: int, put: Put) -> None:
        self.name, self.side, self.count = name, side, 0
        self._put = put
        self._sheet: Image.Image | None = None

    def add(self, png: bytes) -> int:
        """Places a picture, fitted and centred; gives its tile's number."""
        picture: Image.Image = Image.open(io.BytesIO(png))
        if picture.size != (self.side, self.side):
            picture = ImageOps.pad(picture.convert("RGB"), (self.side, self.side), Image.Resampling.LANCZOS)
        at = self.count % PER_FILE
        if at == 0:
            self.flush()
            self._sheet = Image.new("RGB", (COLUMNS * self.side, COLUMNS * self.side))
        assert self._sheet is not None
        self._sheet.paste(picture.convert("RGB"), (at % COLUMNS * self.side, at // COLUMNS * self.side))
        self.count += 1
        return self.count - 1

    def flush(self) -> None:
        """Stores the file at hand; its last row may be short, rows without a tile are cut off."""
        if self._sheet is None:
            return
        number = (self.count - 1) // PER_FILE
        rows = -(-(self.count - number * PER_FILE) // COLUMNS)
        buffer = io.BytesIO()
        self._sheet.crop((0, 0, COLUMNS * self.side, rows * self.side)).save(
            buffer, "WEBP", quality=_QUALITY[self.side <= 64], method=3
        )
        self._put(f"thumbs/{self.name}-{number}.webp", buffer.getvalue())
        self._sheet = None
