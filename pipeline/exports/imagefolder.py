"""Folders of PNGs with ``metadata.parquet``: what ``datasets`` reads as ``imagefolder``.

Parquet rather than JSON lines, because these have no types: a column that is empty in one split would not
fit the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any

import pyarrow as pa

from pipeline.exports.croissant import PARQUET, Described, column_records, file_set, picture_records
from pipeline.exports.destination import Unit
from pipeline.exports.export import Piece
from pipeline.exports.hub import write_parquet
from pipeline.exports.rows import SplitRows, chunks, columns_of, safe
from pipeline.manifest.schema import PICTURES

_METADATA_GROUP = 2000
PER_FOLDER = 1000
"""Rows; three files each. The hub and most file systems want folders below 10,000 files."""
_SUFFIX = {"image": ".png", "mask": ".mask.png", "control": ".control.png"}


class ImageFolder:
    """``train/00000/<variation_id>.png`` with its mask and control image beside it, and ``train/metadata.parquet``."""

    root = ""
    """Folder of the splits, with a slash."""

    def __init__(self, rows: SplitRows) -> None:
        self.rows = rows
        self.light = columns_of(rows.manifest, PICTURES)

    @property
    def sentence(self) -> str:
        return (
            "Folders of PNGs; `metadata.parquet` in each split's folder names picture, mask and control image of each "
            "row and holds the other columns."
        )

    def described(self, files: Sequence[str]) -> Described:
        sets = [
            file_set("pictures", [f"{self.root}{split}/*/*.png" for split in self.rows.counts], "image/png"),
            file_set("rows", "*/metadata.parquet", PARQUET),
        ]
        names = [
            "file_name",
            "mask_file_name",
            "control_file_name",
            "text",
            "variation_id",
            "subject_id",
            "background_id",
        ]
        return Described(sets, [picture_records("pictures"), column_records("metadata", "rows", names)])

    @property
    def configs(self) -> list[dict[str, object]]:
        files = [{"split": split, "path": f"{split}/**"} for split in self.rows.counts]
        return [{"config_name": "default", "data_files": files}]

    def pieces(self) -> Iterable[Piece]:
        yield from self.picture_pieces()
        for split, rows in self.rows.counts.items():
            path = f"{split}/metadata.parquet"
            yield Piece(path, rows, partial(self._write_metadata, path, split))

    def picture_pieces(self) -> Iterator[Piece]:
        """The pictures, a folder at a time."""
        for split, number, _, first, stop in chunks(self.rows.counts, PER_FOLDER):
            folder = f"{self.root}{split}/{number:05d}"
            yield Piece(folder, stop - first, partial(self._write_folder, folder, split, first, stop))

    def placed(self, split: str, columns: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """The rows of a split, each with its picture's path below the split's folder, less the suffix."""
        for of_split, number, _, first, stop in chunks({split: self.rows.counts[split]}, PER_FOLDER):
            for batch in self.rows.read(of_split, first, stop, columns):
                for row in batch.to_pylist():
                    yield f"{number:05d}/{safe(row['variation_id'], 'variation_id')}", row

    def _write_folder(self, folder: str, split: str, first: int, stop: int, unit: Unit) -> None:
        for batch in self.rows.read(split, first, stop, ["variation_id", *PICTURES]):
            for row in batch.to_pylist():
                name = safe(row["variation_id"], "variation_id")
                for column, suffix in _SUFFIX.items():
                    unit.put(f"{folder}/{name}{suffix}", row[column]["bytes"])

    def _write_metadata(self, path: str, split: str, unit: Unit) -> None:
        read = next(iter(self.rows.read(split, 0, 1, self.light))).schema
        text = [pa.field(name, pa.string()) for name in (*files(""), "text")]
        rows = ({**files(place), "text": row["prompt"], **row} for place, row in self.placed(split, self.light))
        batches = (
            pa.RecordBatch.from_pylist(some, pa.schema([*text, *read])) for some in batched(rows, _METADATA_GROUP)
        )
        with unit.open(path) as file:
            write_parquet(file, batches, [*(field.name for field in text), *read.names], _METADATA_GROUP)


def batched(rows: Iterable[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    """Rows in lists of at most ``size``."""
    rows = iter(rows)
    while some := list(islice(rows, size)):
        yield some


def files(place: str) -> dict[str, str]:
    """Where a row's pictures are, under the names from which ``datasets`` makes columns of pictures."""
    return {
        "file_name": f"{place}{_SUFFIX['image']}",
        "mask_file_name": f"{place}{_SUFFIX['mask']}",
        "control_file_name": f"{place}{_SUFFIX['control']}",
    }
