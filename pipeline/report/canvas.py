"""A picture that grows out of cells: labelled pictures, hatched gaps, lines of text."""

from __future__ import annotations

import textwrap
from functools import cache

from PIL import Image, ImageDraw, ImageFont

CELL = 192
"""Side of a cell, pixels: three pixels for one of a 64 px picture."""
GAP = 8
LINE = 15
_PAPER, _INK, _FAINT = "white", (30, 30, 30), (110, 110, 110)
_GREY, _HATCH = (225, 225, 225), (190, 190, 190)
_BETWEEN = 12


@cache
def _font(bold: bool = False) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(13 if bold else 12)


class Canvas:
    """Draws cells on a sheet whose size is known beforehand; places are pixels from the upper left corner."""

    def __init__(self, width: int, height: int) -> None:
        self.image = Image.new("RGB", (width, height), _PAPER)
        self._draw = ImageDraw.Draw(self.image)

    def text(self, x: int, y: int, text: str, *, width: int, lines: int = 1, strong: bool = False) -> None:
        """At most so many lines of text; what does not fit ends in an ellipsis."""
        font = _font(strong)
        columns = max(4, int(width / max(1.0, font.getlength("abcdefghijklmno 0123456789") / 26)))
        wrapped = textwrap.wrap(text, columns, max_lines=lines, placeholder="…")
        for number, line in enumerate(wrapped):
            self._draw.text((x, y + number * LINE), line, fill=_INK if strong else _FAINT, font=font)

    def picture(self, x: int, y: int, image: Image.Image) -> None:
        """A picture in a cell: small ones enlarged pixel by pixel, so that one sees what is there and no more."""
        factor = CELL // max(image.size)
        if factor >= 1:
            fitted = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
        else:
            fitted = image.copy()
            fitted.thumbnail((CELL, CELL), Image.Resampling.LANCZOS)
        place = x + (CELL - fitted.width) // 2, y + (CELL - fitted.height) // 2
        self.image.paste(fitted.convert("RGB"), place)
        self._draw.rectangle((x - 1, y - 1, x + CELL, y + CELL), outline=_HATCH)

    def gap(self, x: int, y: int, why: str) -> None:
        """A cell without a picture: hatched, with the reason."""
        cell = Image.new("RGB", (CELL, CELL), _GREY)
        draw = ImageDraw.Draw(cell)
        for start in range(-CELL, CELL, _BETWEEN):
            draw.line((start, CELL, start + CELL, 0), fill=_HATCH, width=2)
        self.image.paste(cell, (x, y))
        words = why.replace("_", " ")
        width = int(_font().getlength(words)) + 8 if len(words) < 26 else CELL - 16
        lines = textwrap.wrap(words, 26, max_lines=4, placeholder="…")
        top = y + (CELL - len(lines) * LINE) // 2
        self._draw.rectangle(
            (x + (CELL - width) // 2, top - 3, x + (CELL + width) // 2, top + len(lines) * LINE + 2), fill=_GREY
        )
        for number, line in enumerate(lines):
            left = x + (CELL - int(_font().getlength(line))) // 2
            self._draw.text((left, top + number * LINE), line, fill=_INK, font=_font())
