"""Where the command line writes to: results on stdout, all else on stderr."""

from __future__ import annotations

import logging
import warnings

from rich.console import Console
from rich.logging import RichHandler

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def complain(message: str) -> None:
    """One red line on stderr."""
    err.print(" ".join(message.split()), style="bold red", markup=False)


def set_up_logging(verbose: bool) -> None:
    """Our own warnings on stderr, above a live display rather than through it; with ``verbose`` everybody's."""
    if not verbose:  # libraries warn of each other at import, and no user can do anything about that
        warnings.simplefilter("ignore")
    handler = RichHandler(console=err, show_path=False, show_time=verbose, markup=False)
    level = logging.INFO if verbose else logging.WARNING
    for name in ("pipeline", "flows"):
        logger = logging.getLogger(name)
        logger.setLevel(level)
        logger.handlers = [handler]
        logger.propagate = False
