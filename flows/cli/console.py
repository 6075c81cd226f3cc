"""Where the command line writes to: results on stdout, all else on stderr."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

_VISIBLE = {code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"}
"""Control characters as Unicode's pictures of them."""
_VISIBLE |= dict.fromkeys(
    [*range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A), *range(0xD800, 0xE000)], 0xFFFD
)


def printable(text: str) -> str:
    """A text that commands no terminal, whatever file name or error it came from, nor turns the line around."""
    return text.translate(_VISIBLE)


class _Console(Console):
    """Shows data as it is: square brackets are no markup, and only rich itself commands the terminal."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else printable(text), style, control)


out = _Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
err = _Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)


def complain(message: str) -> None:
    """One red line on stderr."""
    err.print(" ".join(message.split()), style="bold red", markup=False)


class _Lines(logging.Handler):
    """Prints each record unwrapped: one warning stays one line, in a file of the output too."""

    def emit(self, record: logging.LogRecord) -> None:
        err.print(self.format(record), style="yellow" if record.levelno >= logging.WARNING else None)


def set_up_logging(verbose: bool) -> None:
    """Our own warnings on stderr, above a live display rather than through it; with ``verbose`` everybody's."""
    if not verbose:  # libraries warn of each other at import, and no user can do anything about that
        warnings.simplefilter("ignore")
    handler = _Lines()
    handler.setFormatter(logging.Formatter(f"{'%(asctime)s ' if verbose else ''}%(levelname)s %(message)s"))
    level = logging.INFO if verbose else logging.WARNING
    for name in ("pipeline", "flows"):
        logger = logging.getLogger(name)
        logger.setLevel(level)
        logger.handlers = [handler]
        logger.propagate = False
