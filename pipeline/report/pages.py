"""The pages' templates; whatever comes from the data is escaped."""

from __future__ import annotations

import functools
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from pipeline.report.atlas import COLUMNS, PER_FILE

ASSETS = ("report.css", "report.js", "viewer.js", "browse.js", "compare.js", "overview.js")
VENDORED = ("vendor/d3.min.js", "vendor/plot.umd.min.js", "vendor/LICENSES.txt")


def asset(name: str) -> bytes:
    """A file of the site that is the same for all reports."""
    return resources.files("pipeline.report").joinpath("assets", *name.split("/")).read_bytes()


def page(template: str, **values: Any) -> bytes:
    """A page, from its template and values."""
    return _environment().get_template(template).render(**values).encode()


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("pipeline.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": _number, "whole": _whole, "words": _words, "of": _of, "place": _place}
    return environment


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None or value != value else f"{value:.{digits}f}"


def _whole(value: int) -> str:
    return f"{value:,}".replace(",", "\u202f")


def _of(count: int, what: str) -> str:
    return f"{_whole(count)} {what}{'' if count == 1 else 's'}"


def _words(name: str) -> str:
    return str(name).replace("_", " ")


def _place(tile: int, tiles: int) -> str:
    """Where a tile lies in its atlas, as the style sheet's variables, and in which file."""
    number, at = divmod(tile, PER_FILE)
    rows = -(-min(tiles - number * PER_FILE, PER_FILE) // COLUMNS)
    return f"--x:{at % COLUMNS};--y:{at // COLUMNS};--r:{rows}"
