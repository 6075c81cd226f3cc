"""A difference as one HTML file: tables, and pictures of what changed. Opens from disk, loads nothing."""

from __future__ import annotations

import base64
import io
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from pipeline.exports.diff import Difference
from pipeline.imaging.png import from_png
from pipeline.manifest.filter import ORDER
from pipeline.manifest.read import Manifest

_SIDE = 192
"""Largest side of a picture on the page, pixels; smaller ones stay as they are."""
_Key = tuple[str, str, str]


@dataclass(frozen=True)
class Shown:
    """One row's pictures: ``a`` and ``b`` are addresses with the picture in them, or None where a side has none."""

    key: _Key
    a: str | None
    b: str | None
    columns: list[str]


def page(found: Difference, most: int = 60) -> str:
    """The page; of each kind of difference at most so many rows are shown with pictures."""
    changed = [key for key, columns in found.changed.items() if {"sha256", "mask", "control"} & set(columns)]
    groups = {"changed": changed[:most], "only in A": found.only["A"][:most], "only in B": found.only["B"][:most]}
    wanted = {key for keys in groups.values() for key in keys}
    pictures = {side: dict(_pictures(one, wanted)) for side, one in (("a", found.a), ("b", found.b))}
    shown = {
        name: [Shown(key, pictures["a"].get(key), pictures["b"].get(key), found.changed.get(key, [])) for key in keys]
        for name, keys in groups.items()
    }
    environment = Environment(
        loader=PackageLoader("pipeline.exports", "templates"), autoescape=True, undefined=StrictUndefined
    )
    totals = {"changed": len(changed), "only in A": found.rows["only in A"], "only in B": found.rows["only in B"]}
    tables = {name: table.to_html(border=0, float_format="{:.4g}".format) for name, table in found.tables().items()}
    return environment.get_template("diff.html.j2").render(found=found, tables=tables, shown=shown, totals=totals)


def _pictures(manifest: Manifest, wanted: Collection[_Key]) -> Iterator[tuple[_Key, str]]:
    """The wanted pictures; row groups without any are not read."""
    for number in range(len(manifest.paths)) if wanted else ():
        with manifest.open_part(number) as parquet:
            for group in range(parquet.num_row_groups):
                named = parquet.read_row_group(group, columns=list(ORDER), use_threads=False)
                keys = list(zip(*(named.column(name).to_pylist() for name in ORDER), strict=True))
                places = [at for at, key in enumerate(keys) if key in wanted]
                if places:
                    images = parquet.read_row_group(group, columns=["image"], use_threads=False).column("image")
                    yield from ((keys[at], _address(images[at].as_py()["bytes"])) for at in places)


def _address(png: bytes) -> str:
    small = from_png(png).convert("RGB")
    small.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=85)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
