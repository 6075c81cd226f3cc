"""What differs between two manifests: rows, and why; scores, settings, models. Reads both once, side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipeline.exports.frames import SCORES, misses
from pipeline.manifest.columns import as_written
from pipeline.manifest.digest import canonical_columns
from pipeline.manifest.filter import ORDER
from pipeline.manifest.read import Manifest
from pipeline.manifest.schema import SCHEMA

if TYPE_CHECKING:
    import pandas as pd

_LEFT_OUT = {"manifest", "work", "shard_size", "retry"}
"""Of a build's config: what no row depends on."""
_Key = tuple[str, str, str]


@dataclass
class Difference:
    """What differs from A to B.

    Attributes:
        rows: How many rows are the ``same``, ``changed``, ``only in A``, ``only in B``.
        columns: Of the changed rows, how many differ in each column.
        why: Why rows are in one only, as the other's list of misses and factors say it: side, reason, rows.
        scores: By score: mean of all rows of A and of B; of the rows in both, how many differ and by how much.
        settings, models, versions: Field, value in A, value in B.
        changed: The rows that changed, by key, each with its changed columns.
        only: Keys of the rows that are in ``A`` or in ``B`` alone.
    """

    a: Manifest
    b: Manifest
    rows: Counter[str] = field(default_factory=Counter)
    columns: Counter[str] = field(default_factory=Counter)
    why: pd.DataFrame | None = None
    scores: pd.DataFrame | None = None
    settings: list[tuple[str, str, str]] = field(default_factory=list)
    models: list[tuple[str, str, str]] = field(default_factory=list)
    versions: list[tuple[str, str, str]] = field(default_factory=list)
    changed: dict[_Key, list[str]] = field(default_factory=dict)
    only: dict[str, list[_Key]] = field(default_factory=lambda: {"A": [], "B": []})

    @property
    def same(self) -> bool:
        """Whether the rows are the same, in all columns."""
        return self.a.digest == self.b.digest and not self.changed and not any(self.only.values())

    def tables(self) -> dict[str, pd.DataFrame]:
        """All of it as tables, empty ones left out."""
        import pandas as pd

        said = {
            "rows": pd.DataFrame(
                {"rows": [self.rows[name] for name in ("same", "changed", "only in A", "only in B")]},
                index=pd.Index(["same", "changed", "only in A", "only in B"], name=""),
            ),
            "changed columns": pd.DataFrame(self.columns.most_common(), columns=["column", "rows"]).set_index("column"),
            "why only in one": self.why,
            "scores": self.scores,
        }
        for name in ("settings", "models", "versions"):
            said[name] = pd.DataFrame(getattr(self, name), columns=["field", "A", "B"]).set_index("field")
        return {name: table for name, table in said.items() if table is not None and len(table)}


def diff(path_a: str, path_b: str) -> Difference:
    """Compares two manifests; memory grows with what differs, not with the rows."""
    a, b = Manifest(path_a), Manifest(path_b)
    found = Difference(a, b)
    scores = _Scores()
    factors = {"A": _Factors(), "B": _Factors()}
    for key, ours, theirs in _side_by_side(a, b):
        for side, row in (("A", ours), ("B", theirs)):
            if row is not None:
                factors[side].add(key)
                scores.add(side, row)
        if ours is None or theirs is None:
            side = "B" if ours is None else "A"
            found.rows[f"only in {side}"] += 1
            found.only[side].append(key)
            continue
        scores.compare(ours, theirs)
        changed = [name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)]
        if changed:
            found.changed[key] = sorted(changed, key=_place)
            found.columns.update(changed)
        found.rows["changed" if changed else "same"] += 1
    found.scores = scores.table()
    found.why = _reasons(found, factors)
    found.settings = _fields(*(_leaves(_settings(one)) for one in (a, b)))
    found.models = _fields(*(_leaves(_by_role(one)) for one in (a, b)))
    versions = [{**(one.footer.get("versions") or {}), "spotdiff10k": one.footer.get("code_version")} for one in (a, b)]
    found.versions = _fields(*(_leaves(one) for one in versions))
    return found


def _side_by_side(
    a: Manifest, b: Manifest
) -> Iterator[tuple[_Key, Mapping[str, str] | None, Mapping[str, str] | None]]:
    """Each key with its row in A and in B; both stand in the order of the keys."""
    left, right = _rows(a), _rows(b)
    ours, theirs = next(left, None), next(right, None)
    while ours or theirs:
        if theirs is None or (ours and ours[0] < theirs[0]):
            assert ours
            yield ours[0], ours[1], None
            ours = next(left, None)
        elif ours is None or theirs[0] < ours[0]:
            yield theirs[0], None, theirs[1]
            theirs = next(right, None)
        else:
            yield ours[0], ours[1], theirs[1]
            ours, theirs = next(left, None), next(right, None)


def _rows(manifest: Manifest) -> Iterator[tuple[_Key, dict[str, str]]]:
    """Rows as canonical text by column; a picture is told by its column ``sha256``, its bytes are not read."""
    columns = [name for name in manifest.columns if name in SCHEMA.names and name != "image"]
    for batch in manifest.batches(columns):
        told = canonical_columns(as_written(batch))
        keys = zip(*(batch.column(name).to_pylist() for name in ORDER), strict=True)
        for key, *values in zip(keys, *told.values(), strict=True):
            yield key, dict(zip(told, values, strict=True))


class _Factors:
    """Which sources, and which subjects and backgrounds of each, one side has."""

    def __init__(self) -> None:
        self.sources: set[str] = set()
        self.slots: set[tuple[str, str]] = set()

    def add(self, key: _Key) -> None:
        source, subject, background = key
        self.sources.add(source)
        self.slots |= {(source, subject), (source, background)}


class _Scores:
    """Sums over all rows, and over the rows in both."""

    def __init__(self) -> None:
        self.sums = {side: Counter[str]() for side in "AB"}
        self.counts = {side: Counter[str]() for side in "AB"}
        self.differ, self.total, self.largest = Counter[str](), Counter[str](), Counter[str]()
        self.both = 0

    def add(self, side: str, row: Mapping[str, str]) -> None:
        for name in SCORES:
            value = _number(row.get(name))
            if value is not None:
                self.sums[side][name] += value  # type: ignore[assignment]  # a Counter adds any numbers
                self.counts[side][name] += 1

    def compare(self, ours: Mapping[str, str], theirs: Mapping[str, str]) -> None:
        self.both += 1
        for name in SCORES:
            one, other = _number(ours.get(name)), _number(theirs.get(name))
            if one is not None and other is not None and one != other:
                self.differ[name] += 1
                self.total[name] += other - one  # type: ignore[assignment]
                self.largest[name] = max(self.largest[name], abs(other - one))  # type: ignore[assignment]

    def table(self) -> pd.DataFrame:
        import pandas as pd

        def mean(side: str, name: str) -> float:
            return self.sums[side][name] / self.counts[side][name] if self.counts[side][name] else float("nan")

        said = [
            {
                "mean in A": mean("A", name),
                "mean in B": mean("B", name),
                "rows in both that differ": self.differ[name],
                "mean change": self.total[name] / self.both if self.both else float("nan"),
                "largest change": float(self.largest[name]),
            }
            for name in SCORES
        ]
        return pd.DataFrame(said, index=pd.Index(SCORES, name="score"))


def _number(text: str | None) -> float | None:
    return None if text is None or text == "null" or text.startswith('"') else float(text)


def _reasons(found: Difference, factors: Mapping[str, _Factors]) -> pd.DataFrame:
    """Why rows of one side are not in the other."""
    import pandas as pd

    counts: Counter[tuple[str, str]] = Counter()
    for side, other, manifest in (("A", "B", found.b), ("B", "A", found.a)):
        if found.only[side]:
            why = _Why(manifest, factors[other])
            counts.update((f"only in {side}", why.of(key).replace("there", f"in {other}")) for key in found.only[side])
    said = [(*name, number) for name, number in counts.most_common()]
    return pd.DataFrame(said, columns=["rows", "why", "count"]).set_index(["rows", "why"])


class _Why:
    """What a manifest's list of misses and its factors say of a row that it does not have."""

    def __init__(self, manifest: Manifest, factors: _Factors) -> None:
        self.sources, self.slots = set(factors.sources), set(factors.slots)
        self.filtered = "filtered" in manifest.footer
        self.missed: dict[tuple[str, ...], str] = {}
        for row in misses(manifest).astype("object").to_dict("records"):
            depth = {"source": 1, "subject": 2}.get(row["kind"], 3)
            place = tuple(row[name] for name in ORDER[:depth])
            reason = row["reason"] if isinstance(row["reason"], str) else row["status"]
            self.missed[place] = f"{row['kind']} rejected there: {reason}"
            self.sources.add(place[0])
            self.slots |= {(place[0], level) for level in place[1:]}

    def of(self, key: _Key) -> str:
        for depth in (3, 2, 1):
            if key[:depth] in self.missed:
                return self.missed[key[:depth]]
        if self.filtered:
            return "filtered out there, or not in what was filtered"
        source, subject, background = key
        if source not in self.sources:
            return "its source is not there"
        if (source, subject) not in self.slots:
            return "its subject was not drawn there"
        return "its background was not drawn there" if (source, background) not in self.slots else "missing there"


def _settings(manifest: Manifest) -> dict[str, Any]:
    said = {name: manifest.footer.get(name) for name in ("profile", "config", "filtered")}
    return {**said, "merged": ", ".join(one["digest"] for one in manifest.footer.get("merged") or ()) or None}


def _by_role(manifest: Manifest) -> dict[str, Any]:
    return {str(model.get("role")): model for model in manifest.footer.get("models") or ()}


def _leaves(value: Any, at: str = "") -> dict[str, str]:
    """The leaves of a footer's part by their dotted place, as text."""
    if isinstance(value, Mapping):
        found: dict[str, str] = {}
        for name, inner in value.items():
            if not (at == "config" and name in _LEFT_OUT):
                found |= _leaves(inner, f"{at}.{name}" if at else str(name))
        return found
    return {} if value is None and not at.count(".") else {at: str(value)}


def _fields(ours: Mapping[str, str], theirs: Mapping[str, str]) -> list[tuple[str, str, str]]:
    names = [*ours, *(name for name in theirs if name not in ours)]
    return [(name, ours.get(name, "–"), theirs.get(name, "–")) for name in names if ours.get(name) != theirs.get(name)]


def _place(name: str) -> int:
    return SCHEMA.get_field_index(name)
