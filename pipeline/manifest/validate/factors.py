"""What must hold between the rows of a manifest: the factorial is whole, and nothing crosses a split."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.imaging.phash import NearHashes
from pipeline.manifest.validate.problems import Problems

_ONE_PER = {
    "source_id": ("pose_id", "split", "source_phash", "source_license", "source_attribution", "source_uri"),
    "subject_id": ("subject_prompt", "split"),
    "background_id": ("background_prompt", "split"),
}
"""What a factor determines. That goes for ``split`` above all: it is why nothing leaks from one into another."""


class Factors:
    """Gathers what all rows say together; memory grows with sources, not with pictures."""

    def __init__(self, subjects: int | None, backgrounds: int | None, distance: int) -> None:
        self.subjects, self.backgrounds, self.distance = subjects, backgrounds, distance
        self._ids: set[str] = set()
        self._said: dict[tuple[str, str], dict[str, Any]] = {}
        self._levels: dict[str, dict[str, set[str]]] = {
            "subject_id": defaultdict(set),
            "background_id": defaultdict(set),
        }
        self._variations: Counter[str] = Counter()

    def add(self, number: int, row: Mapping[str, Any], problems: Problems) -> None:
        """Counts a row in, and tells what it contradicts."""
        name = row.get("variation_id")
        if name is not None and name in self._ids:
            problems.add(number, "variation_id", f"{name} was in an earlier row already", "twice")
        elif name is not None:
            self._ids.add(name)
        for factor, columns in _ONE_PER.items():
            if row.get(factor) is not None:
                self._compare(number, factor, row, columns, problems)
        source = row.get("source_id")
        if source is not None:
            self._variations[source] += 1
            for factor, levels in self._levels.items():
                if row.get(factor) is not None:
                    levels[source].add(row[factor])

    def finish(self, rejected: Iterable[Mapping[str, Any]] | None, problems: Problems) -> None:
        """What can be told only when all rows are known.

        Args:
            rejected: Rows of ``*.rejected.parquet`` (kind and ids); None where there is none.
            problems: Where to add.
        """
        for factor, asked in (("subject_id", self.subjects), ("background_id", self.backgrounds)):
            for source, levels in self._levels[factor].items():
                if asked is not None and len(levels) > asked:
                    problems.add(None, factor, f"source {source} has {len(levels)} of them, {asked} were asked for")
        if rejected is not None:
            self._check_whole(rejected, problems)
        self._check_near(problems)

    def _compare(
        self, number: int, factor: str, row: Mapping[str, Any], columns: Iterable[str], problems: Problems
    ) -> None:
        said = self._said.setdefault((factor, row[factor]), {})
        for column in columns:
            if column in row and said.setdefault(column, row[column]) != row[column]:
                where = "crosses splits" if column == "split" else "differs"
                problems.add(
                    number,
                    column,
                    f"{factor} {row[factor]} {where}: {row[column]!r} here, {said[column]!r} in an earlier row",
                    f"{factor} {where}",
                )

    def _check_whole(self, rejected: Iterable[Mapping[str, Any]], problems: Problems) -> None:
        """Each source has subjects x backgrounds slots, and each is either here or said to be rejected."""
        subjects: Counter[str] = Counter()
        variations: Counter[str] = Counter()
        for row in rejected:
            if row["kind"] == "subject":
                subjects[row["source_id"]] += 1
            elif row["kind"] == "variation":
                variations[row["source_id"]] += 1
        if self.subjects is None or self.backgrounds is None:
            return
        for source in sorted({*self._variations, *subjects, *variations}):
            left = self.subjects - subjects[source]
            here, missed = self._variations[source], variations[source]
            if here + missed != left * self.backgrounds:
                problems.add(
                    None,
                    "source_id",
                    f"source {source}: {here} variations and {missed} rejected ones are not the "
                    f"{left * self.backgrounds} of {left} subjects x {self.backgrounds} backgrounds",
                )

    def _check_near(self, problems: Problems) -> None:
        by_split: dict[str, NearHashes] = {}
        for (factor, source), said in sorted(self._said.items()):
            split, code = said.get("split"), said.get("source_phash")
            if factor != "source_id" or split is None or not _is_hash(code):
                continue
            for other, hashes in by_split.items():
                near = hashes.find(str(code)) if other != split else None
                if near is not None:
                    problems.add(
                        None, "source_phash", f"source {source} ({split}) is a near-duplicate of {near} ({other})"
                    )
            by_split.setdefault(split, NearHashes(self.distance)).add(str(code), source)


def _is_hash(code: Any) -> bool:
    try:
        return 0 <= int(code, 16) < 1 << 64
    except (TypeError, ValueError):
        return False
