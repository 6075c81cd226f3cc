"""WebDataset: tar shards in which files of one name belong together.

``<variation_id>.png``, ``.mask.png``, ``.control.png``, ``.txt`` (the prompt) and ``.json`` (all other columns).
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Sequence
from functools import partial

from pipeline.exports.croissant import Described, file_set, picture_records
from pipeline.exports.destination import Unit
from pipeline.exports.export import Piece
from pipeline.exports.rows import SplitRows, chunks, safe
from pipeline.exports.values import line
from pipeline.manifest.schema import PICTURES

SHARD_BYTES = 256 * 1000 * 1000
_SUFFIX = {"image": "png", "mask": "mask.png", "control": "control.png"}


class WebDataset:
    """Tar files of one split each, as any tar reads them; the same bytes for the same rows."""

    def __init__(self, rows: SplitRows) -> None:
        self.rows = rows
        self.per_shard = max(1, int(SHARD_BYTES / max(rows.row_bytes(), 1)))

    @property
    def sentence(self) -> str:
        return (
            "WebDataset shards: of each variation `.png`, `.mask.png`, `.control.png`, `.txt` (the prompt) and `.json` "
            "(all other columns)."
        )

    def described(self, files: Sequence[str]) -> Described:
        archives = [path for path in files if path.endswith(".tar")]
        sets = [file_set("pictures", "*.png", "image/png", archives)]
        return Described(sets, [picture_records("pictures")])

    @property
    def configs(self) -> list[dict[str, object]]:
        files = [{"split": split, "path": f"{split}-*.tar"} for split in self.rows.counts]
        return [{"config_name": "default", "data_files": files}]

    def pieces(self) -> Iterable[Piece]:
        for split, number, _, first, stop in chunks(self.rows.counts, self.per_shard):
            path = f"{split}-{number:06d}.tar"
            yield Piece(path, stop - first, partial(self._write, path, split, first, stop))

    def _write(self, path: str, split: str, first: int, stop: int, unit: Unit) -> None:
        with (
            unit.open(path) as file,
            tarfile.open(fileobj=file, mode="w|", format=tarfile.USTAR_FORMAT) as tar,  # type: ignore[call-overload]
        ):
            for batch in self.rows.read(split, first, stop):
                for row in batch.to_pylist():
                    key = safe(row["variation_id"], "variation_id")
                    for name, suffix in _SUFFIX.items():
                        _add(tar, f"{key}.{suffix}", row[name]["bytes"])
                    _add(tar, f"{key}.txt", (row["prompt"] or "").encode())
                    _add(tar, f"{key}.json", line({name: row[name] for name in row if name not in PICTURES}))


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))
