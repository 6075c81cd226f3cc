"""What must hold between the rows of a manifest: their order, the factorial is whole, and nothing crosses a split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipeline.imaging.phash import NearHashes
from pipeline.manifest.validate.problems import Problems
from pipeline.manifest.validate.rules import Rules

_ORDER = ("source_id", "subject_id", "background_id")
_ONE_PER = {
    "source_id": ("pose_id", "split", "source_phash", "source_license", "source_attribution", "source_uri"),
    "subject_id": ("subject_prompt", "split"),
    "background_id": ("background_prompt", "split"),
}
"""What a factor determines. That goes for ``split`` above all: it is why nothing leaks from one into another."""
COLUMNS = tuple(dict.fromkeys(name for factor, names in _ONE_PER.items() for name in (factor, *names)))


class Factors:
    """Gathers what all rows say together; memory grows with sources and with the banks, not with rows.

    Rows stand sorted by source, subject and background, so that one that is there twice is seen by the order alone.
    """

    def __init__(self, rules: Rules, missed: Iterable[tuple[str, str]] | None) -> None:
        """Begins before the first row.

        Args:
            rules: What the footer says.
            missed: Kind and source of each row of the list of what did not get in; None: not known.
        """
        self.rules = rules
        self._whole = missed is not None and not rules.subset
        self._missed = {"subject": Counter[str](), "variation": Counter[str]()}
        for kind, source in missed or ():
            if kind in self._missed:
                self._missed[kind][source] += 1
        self._said: dict[tuple[str, str], tuple[Any, ...]] = {}
        self._split_of: dict[str, tuple[str, str]] = {}
        self._last: tuple[str, ...] | None = None
        self._source: str | None = None
        self._levels: dict[str, set[str]] = {}
        self._rows = 0

    def add(self, start: int, columns: Mapping[str, Sequence[Any]], problems: Problems) -> None:
        """Counts rows in, and tells what they contradict.

        Args:
            start: Number of the first.
            columns: Those of :data:`COLUMNS` that there are.
            problems: Where to add.
        """
        self._check_order(start, columns, problems)
        for factor, names in _ONE_PER.items():
            here = [name for name in names if name in columns]
            if factor in columns and here:
                self._compare(start, factor, here, columns, problems)
        if "source_id" in columns:
            self._count(columns, problems)

    def skip(self) -> None:
        """Some rows cannot be read: from here on nobody can say whether the factorial is whole."""
        self._whole, self._source = False, None

    def finish(self, problems: Problems) -> None:
        """What can be told only when all rows are known."""
        self._end_source(problems)
        for source in sorted({*self._missed["subject"], *self._missed["variation"]}):
            self._check_whole(source, 0, problems)
        self._check_near(problems)

    def _check_order(self, start: int, columns: Mapping[str, Sequence[Any]], problems: Problems) -> None:
        if not all(name in columns for name in _ORDER):
            return
        for number, key in enumerate(zip(*(columns[name] for name in _ORDER), strict=True), start):
            if None in key:
                continue
            if self._last is not None and key <= self._last:
                what = "is there twice" if key == self._last else "stands behind a row that it belongs before, or twice"
                problems.add(
                    number, "variation_id", f"{'/'.join(key)} {what}: rows are sorted by {', '.join(_ORDER)}", "order"
                )
            self._last = key

    def _compare(
        self,
        start: int,
        factor: str,
        names: Sequence[str],
        columns: Mapping[str, Sequence[Any]],
        problems: Problems,
    ) -> None:
        values = zip(columns[factor], *(columns[name] for name in names), strict=True)
        for number, (level, *told) in enumerate(values, start):
            said = self._said.setdefault((factor, level), tuple(told))
            if level is None or said == tuple(told):
                continue
            for name, now, before in zip(names, told, said, strict=True):
                if now != before:
                    where = "crosses splits" if name == "split" else "differs"
                    message = f"{factor} {level} {where}: {now!r} here, {before!r} in an earlier row"
                    problems.add(number, name, message, f"{factor} {where}")

    def _count(self, columns: Mapping[str, Sequence[Any]], problems: Problems) -> None:
        none = [None] * len(columns["source_id"])
        pairs = zip(columns["source_id"], *(columns.get(name, none) for name in _ORDER[1:]), strict=True)
        for place, (source, subject, background) in enumerate(pairs):
            if source is None:
                continue
            if source != self._source:
                self._end_source(problems)
                self._source, self._rows, self._levels = source, 0, {name: set() for name in _ORDER[1:]}
                split, code = (columns.get(name, none)[place] for name in ("split", "source_phash"))
                if split is not None and _is_hash(code):
                    self._split_of[source] = split, code
            self._rows += 1
            self._levels["subject_id"].add(subject)
            self._levels["background_id"].add(background)

    def _end_source(self, problems: Problems) -> None:
        if self._source is None:
            return
        asked = {"subject_id": self.rules.subjects, "background_id": self.rules.backgrounds}
        for factor, levels in self._levels.items():
            count, most = len(levels - {None}), asked[factor]
            if most is not None and count > most:
                message = f"source {self._source} has {count} of them, {most} were asked for"
                problems.add(None, factor, message)
                self._forget(self._source)  # one fault, told once
                return
        self._check_whole(self._source, self._rows, problems)

    def _check_whole(self, source: str, here: int, problems: Problems) -> None:
        """A source has subjects x backgrounds slots, and each is either here or said to be rejected."""
        subjects, missed = (self._missed[kind][source] for kind in ("subject", "variation"))
        self._forget(source)
        if not self._whole or self.rules.subjects is None or self.rules.backgrounds is None:
            return
        left = self.rules.subjects - subjects
        if here + missed != left * self.rules.backgrounds:
            problems.add(
                None,
                "source_id",
                f"source {source}: {here} variations and {missed} rejected ones are not the "
                f"{left * self.rules.backgrounds} of {left} subjects x {self.rules.backgrounds} backgrounds",
            )

    def _forget(self, source: str) -> None:
        for counts in self._missed.values():
            counts.pop(source, None)

    def _check_near(self, problems: Problems) -> None:
        by_split: dict[str, NearHashes] = {}
        for source, (split, code) in sorted(self._split_of.items()):
            for other, hashes in by_split.items():
                near = hashes.find(code) if other != split else None
                if near is not None:
                    problems.add(
                        None, "source_phash", f"source {source} ({split}) is a near-duplicate of {near} ({other})"
                    )
            by_split.setdefault(split, NearHashes(self.rules.distance)).add(code, source)


def _is_hash(code: Any) -> bool:
    try:
        return 0 <= int(code, 16) < 1 << 64
    except (TypeError, ValueError):
        return False
