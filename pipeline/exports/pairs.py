"""Pairs of one subject, to train other people's methods: reference, target, caption and the target's mask.

Reference and target differ in background, and in pose where the subject recurs in another one: a model that copies the
reference gains nothing by it. The choice depends on the ids alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from pipeline import ids
from pipeline.config import UserError
from pipeline.exports.croissant import Described, column_records, file_set, picture_records
from pipeline.exports.destination import Unit
from pipeline.exports.export import Piece
from pipeline.exports.imagefolder import ImageFolder, files
from pipeline.exports.rows import SplitRows
from pipeline.exports.values import line

_FACTORS = ["variation_id", "source_id", "pose_id", "subject_id", "background_id", "subject_prompt", "prompt"]
_Known = tuple[str, str, str]
"""Where a row's picture is, its pose, its background."""


class PairFolder(ImageFolder):
    """An imagefolder whose rows are pairs, and the same pairs as the JSON list that IP-Adapter's script reads."""

    def __init__(self, rows: SplitRows) -> None:
        super().__init__(rows)
        self.alone = 0
        self._index: dict[str, dict[str, list[_Known]]] = {}

    @property
    def note(self) -> str | None:
        if not self.alone:
            return None
        return f"{self.alone} pictures have no other of their subject before another background, and are no target"

    @property
    def sentence(self) -> str:
        return (
            "Pairs of one subject: in each split's `metadata.jsonl`, `file_name` is the target, `reference_file_name` "
            "the same subject elsewhere, `text` the caption; `ip_adapter_<split>.json` lists the same pairs."
        )

    def described(self, files: Sequence[str]) -> Described:
        sets = [
            file_set("pictures", [f"{split}/*/*.png" for split in self.rows.counts], "image/png"),
            file_set("pairs-files", "*/metadata.jsonl", "application/jsonlines"),
        ]
        names = ["file_name", "reference_file_name", "mask_file_name", "text", "variation_id", "subject_id"]
        return Described(sets, [picture_records("pictures"), column_records("pairs", "pairs-files", names)])

    def pieces(self) -> Iterable[Piece]:
        yield from self.picture_pieces()
        for split, rows in self.rows.counts.items():
            path = f"{split}/metadata.jsonl"
            yield Piece(path, rows, partial(self._write_pairs, path, split))
            path = f"ip_adapter_{split}.json"
            yield Piece(path, rows, partial(self._write_list, path, split))

    def pairs(self, split: str) -> Iterator[dict[str, Any]]:
        """The pairs of a split, paths below its folder."""
        index = self._index.get(split) or self._index.setdefault(split, self._read_index(split))
        self.alone = 0
        for place, row in self.placed(split, _FACTORS):
            found = partner((place, row["pose_id"], row["background_id"]), index[row["subject_id"]])
            if found is None:
                self.alone += 1
                continue
            kept = {name: row[name] for name in ("variation_id", "subject_id", "background_id", "subject_prompt")}
            yield {
                **files(place),
                "reference_file_name": files(found)["file_name"],
                "reference_mask_file_name": files(found)["mask_file_name"],
                "text": row["prompt"],
                **kept,
            }

    def _read_index(self, split: str) -> dict[str, list[_Known]]:
        index: dict[str, list[_Known]] = {}
        for place, row in self.placed(split, _FACTORS):
            index.setdefault(row["subject_id"], []).append((place, row["pose_id"], row["background_id"]))
        return index

    def _write_pairs(self, path: str, split: str, unit: Unit) -> None:
        written = 0
        with unit.open(path) as file:
            for pair in self.pairs(split):
                written += bool(file.write(line(pair)))
        if not written:
            raise UserError(
                f"--pairs: no subject of split {split} stands before two backgrounds; build with more, "
                "or name another split with --split"
            )

    def _write_list(self, path: str, split: str, unit: Unit) -> None:
        names = {
            "file_name": "image_file", "reference_file_name": "reference_file",
            "mask_file_name": "mask_file", "reference_mask_file_name": "reference_mask_file",
        }  # fmt: skip
        with unit.open(path) as file:
            file.write(b"[")
            for number, pair in enumerate(self.pairs(split)):
                said = {ours: f"{split}/{pair[name]}" for name, ours in names.items()} | {"text": pair["text"]}
                file.write((",\n" if number else "\n").encode() + json.dumps(said).encode())
            file.write(b"\n]\n")


def partner(row: _Known, others: Sequence[_Known]) -> str | None:
    """A reference for a target: another background, and if there is any, another pose; None: there is none."""
    start = int(ids.digest(["pair", row[0].rpartition("/")[2]])[:12], 16)
    other_background = None
    for step in range(len(others)):
        place, pose, background = others[(start + step) % len(others)]
        if background != row[2]:
            if pose != row[1]:
                return place
            other_background = other_background or place
    return other_background
