"""Proves a manifest sound, or lists what is wrong with it. Works on files that other programs wrote, too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import store
from pipeline.config import UserError
from pipeline.manifest.columns import as_written, exact
from pipeline.manifest.digest import RowsDigest, canonical_columns
from pipeline.manifest.read import Manifest
from pipeline.manifest.validate.factors import COLUMNS, Factors
from pipeline.manifest.validate.fast import Glance
from pipeline.manifest.validate.footers import check_folder, check_footers, check_sums, misses
from pipeline.manifest.validate.problems import Problem, Problems
from pipeline.manifest.validate.rows import check_row
from pipeline.manifest.validate.rules import Rules, rules_of
from pipeline.manifest.validate.types import usable_columns


def validate(path: str) -> list[Problem]:
    """Checks schema, order, ids, checksums, pictures, keypoints, scores, factor counts, splits, footers and digest.

    Args:
        path: The manifest: file, or folder of parts.

    Returns:
        What is wrong, each with row and column where that can be said; empty for a sound manifest.
    """
    problems = Problems()
    try:
        manifest = Manifest(path)
        columns = usable_columns(manifest, problems)
        check_footers(manifest, problems, rewritten=bool(problems.list()))
        check_folder(manifest, problems)
        rules = rules_of(manifest.footer)
        rows = _Rows(columns, rules, Factors(rules, misses(manifest, problems)), problems)
        for number in range(len(manifest.paths)):
            with manifest.open_part(number) as parquet:
                rows.read_part(parquet)
        rows.factors.finish(problems)
        if not rows.number:
            problems.add(None, None, "there are no rows")
        check_sums(manifest, rows.counts, rows.digests, problems)
    except UserError as error:
        problems.add(None, None, str(error), remedy="")
    except (pa.ArrowException, OSError) as error:
        problems.add(None, None, f"cannot be read to its end: {error}")
    return problems.list()


class _Rows:
    """Goes through all rows, one row group at a time.

    Attributes:
        number: Of the next row.
        counts, digests: Of each part; a digest is None where not every value is of the type that it was made from.
    """

    def __init__(self, columns: Sequence[str], rules: Rules, factors: Factors, problems: Problems) -> None:
        self.columns, self.rules, self.factors, self.problems = list(columns), rules, factors, problems
        self.glance = Glance(rules)
        self.number = 0
        self.counts: list[int] = []
        self.digests: list[str | None] = []

    def read_part(self, parquet: pq.ParquetFile) -> None:
        digest: RowsDigest | None = RowsDigest()
        for group in range(parquet.num_row_groups):
            try:
                batches = _read(parquet, group, self.columns).to_batches()
            except (pa.ArrowException, OSError) as error:
                if store.vanished(error):
                    raise
                self._name_damage(parquet, group)
                self.factors.skip()
                digest = None
                self.number += parquet.metadata.row_group(group).num_rows
                continue
            for batch in batches:
                digest = self._check(as_written(batch), digest)
        self.counts.append(parquet.metadata.num_rows)
        self.digests.append(digest.value if digest else None)

    def _check(self, batch: pa.RecordBatch, digest: RowsDigest | None) -> RowsDigest | None:
        if exact(batch):
            columns = canonical_columns(batch)
            if digest:
                digest.add_columns(columns)
            doubtful = self.glance.doubtful(batch, columns)
        else:
            digest, doubtful = None, list(range(batch.num_rows))
        for place in doubtful:
            row: dict[str, Any] = batch.slice(place, 1).to_pylist()[0]
            for column, message in check_row(row, self.rules):
                self.problems.add(self.number + place, column, message)
        told = {name: batch.column(name).to_pylist() for name in COLUMNS if name in batch.schema.names}
        self.factors.add(self.number, told, self.problems)
        self.number += batch.num_rows
        return digest

    def _name_damage(self, parquet: pq.ParquetFile, group: int) -> None:
        last = self.number + parquet.metadata.row_group(group).num_rows - 1
        for column in self.columns:
            try:
                _read(parquet, group, [column])
            except (pa.ArrowException, OSError) as error:
                self.problems.add(self.number, column, f"cannot be read, in one of the rows up to {last}: {error}")


def _read(parquet: pq.ParquetFile, group: int, columns: list[str]) -> pa.Table:
    table = parquet.read_row_group(group, columns=columns, use_threads=False)
    table.validate(full=True)  # text that is none would be found only when it is looked at
    return table
