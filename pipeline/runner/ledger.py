"""What is done: one Parquet fragment per stage and shard, named after the key of all that it depends on.

``<work>/<run>/<stage>/<shard>-<key16>.parquet``. A fragment that is there and readable is done; nothing else is kept
about progress anywhere. Rows of one source stand together, so that one source can be read by itself.

Files are proved when they are read (:mod:`pipeline.runner.sealed`). A fragment whose footer does not fit is as good as
not there; one whose rows do not fit is found by whoever reads them, who is told so by :class:`DamagedFragment`.
"""

from __future__ import annotations

import errno
import functools
import json
import logging
import sys
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from itertools import groupby
from typing import IO, Any

import pyarrow as pa

from pipeline import ids, store
from pipeline.arrow import REST, columns_of, from_table, stored_schema, to_table
from pipeline.records import AnyRow, Reason, Row, Status
from pipeline.runner import index
from pipeline.runner.sealed import Damaged, Sealed, open_sealed, write_sealed

logger = logging.getLogger(__name__)
_GROUP_ROWS = 20
"""Sources with few rows share a row group until it has so many: each column of each group costs time and bytes."""


_DROPPED = "dropped"
"""In the note of a fragment whose rows were dropped."""
ROWS_DROPPED = "its rows were dropped by `spotdiff clean`"
""":attr:`DamagedFragment.problem` of such a fragment, for who wants its rows."""


class DamagedFragment(Exception):
    """A fragment that is not what was written; it is to be removed and made again."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path, self.problem = path, problem

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fragment:
    """A stage's finished result for one shard; small, can be passed between processes.

    Attributes:
        key: Digest of stage, version, settings and input: the reason why this fragment need not be made again.
        settings: Digest of stage, version and settings alone: rows may be reused where it is the same.
        digest: Of the rows that go on (``ok``), whatever the Parquet encoding; the next stage's input digest.
        counts: Rows by status. reasons: Rejected rows by reason.
        sources: What the rows are about, in order: each source's id (its path in the ``sources`` stage).
        overview: Of each row the fields of its type's ``OVERVIEW``, in their order; JSON, for it is kept of each source
            and seldom read.
    """

    path: str
    stage: str
    shard: str
    key: str
    settings: str
    digest: str
    counts: dict[str, int]
    reasons: dict[str, int]
    sources: tuple[str, ...]
    overview: str = "[]"

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def said(self) -> dict[str, Any]:
        """What its footer says of it: all but where it lies."""
        return {**{name: getattr(self, name) for name in _SAID}, "overview": json.loads(self.overview)}

    @classmethod
    def of(cls, path: str, said: Mapping[str, Any]) -> Fragment:
        """The other way round."""
        values = {name: said[name] for name in _SAID}
        values |= {name: sys.intern(values[name]) for name in ("stage", "shard", "settings")}
        values |= {name: _shared(values[name].items()) for name in ("counts", "reasons")}
        values["sources"] = _about(values["sources"], ids_known=not values["overview"])
        return cls(path=path, **{**values, "overview": _text(values["overview"])})


def _about(sources: Iterable[str], *, ids_known: bool) -> tuple[str, ...]:
    """What a fragment is about; ids are those of the stages before and behind, paths are the first stage's alone."""
    return tuple(map(sys.intern, sources)) if ids_known else tuple(sources)


def _text(overview: Sequence[Any]) -> str:
    return json.dumps(overview, separators=(",", ":"))


def _shared(counts: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Counts that are not to be changed, equal ones as one object: a run keeps those of each of its fragments."""
    return _counts(tuple(counts))


@functools.lru_cache(maxsize=1024)
def _counts(counts: tuple[tuple[str, int], ...]) -> dict[str, int]:
    return dict(counts)


_SAID = tuple(field.name for field in fields(Fragment) if field.name != "path")


@functools.cache
def shared_ledger(root: str) -> Ledger:
    """The process's ledger of this root: its index of fragments is made once, for all tasks."""
    return Ledger(root)


class Ledger:
    """The fragments of one run below ``root`` (``<work>/<run>``, a folder or URL). Safe to use from threads."""

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/")
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[str, Fragment | None]] = {}
        self._index_read = False
        self._earlier: dict[str, dict[tuple[str, str], list[Fragment]]] = {}

    def find(self, stage: str, shard: str, key: str, there: Mapping[str, Fragment] | None = None) -> Fragment | None:
        """The fragment of this key, or None if it is missing or its footer damaged (then it is made again).

        Args:
            stage, shard, key: What is sought.
            there: See :meth:`all_of`: looks there and not at the files.
        """
        path = self._path(stage, shard, key)
        if there is not None:
            fragment = there.get(path)
        else:
            stamp = store.stamp(path)
            fragment = self._known(path, stamp) if stamp else None
        return fragment if fragment and fragment.key == key else None

    def all_of(self, stages: Iterable[str]) -> dict[str, Fragment]:
        """All fragments of some stages by path, as they are now; many times quicker than to find each by itself."""
        return {fragment.path: fragment for stage in stages for fragment in self.fragments(stage)}

    def fragments(self, stage: str) -> list[Fragment]:
        """All readable fragments of a stage, stale ones too, sorted by name."""
        self._read_index()
        stamps = store.stamps(f"{self.root}/{stage}", ".parquet")
        return [fragment for path, stamp in stamps.items() if (fragment := self._known(path, stamp))]

    def write_index(self, fragments: Iterable[Fragment]) -> None:
        """Notes what the fragments' footers say in one file, so that the next look need not open them all.

        Args:
            fragments: The run's current ones.
        """
        index.write(self.root, self._noted({fragment.path: fragment for fragment in fragments}))

    def _noted(self, current: Mapping[str, Fragment]) -> Iterator[tuple[str, str, dict[str, Any]]]:
        for stage in dict.fromkeys(fragment.stage for fragment in current.values()):
            for path, stamp in store.stamps(f"{self.root}/{stage}", ".parquet").items():
                if fragment := current.get(path) or self._known(path, stamp):
                    yield path[len(self.root) + 1 :], stamp, fragment.said()

    def earlier(self, stage: str, settings: str, sources: Iterable[str]) -> list[Fragment]:
        """Fragments made with the same settings that hold rows of any of these sources, whatever their shard.

        Finding them after the listing or the shard size has changed means reading all of the stage's footers: done
        once until :meth:`look_anew`, and only when something is missing. What is written after that is not among them:
        a run asks for no row twice, and to keep each would cost memory.
        """
        with self._lock:
            known = self._earlier.get(stage)
        if known is None:
            fragments = self.fragments(stage)
            with self._lock:
                known = self._earlier.setdefault(stage, _by_source(fragments))
        with self._lock:
            found = {f.path: f for source in sources for f in known.get((settings, source), ())}
        return [found[path] for path in sorted(found)]

    def look_anew(self) -> None:
        """Forgets which fragments :meth:`earlier` has found; a run begins with it."""
        with self._lock:
            self._earlier.clear()

    def write(
        self, rows: Sequence[Row], kind: type[Row], *, stage: str, shard: str, key: str, settings: str
    ) -> Fragment:
        """Writes a fragment atomically; rows of one source must stand together."""
        places, groups = _row_groups(rows)
        fragment = Fragment(
            path=self._path(stage, shard, key),
            stage=stage,
            shard=shard,
            key=key,
            settings=settings,
            digest=ids.rows_digest(rows),
            counts=_shared(Counter(str(row.status) for row in rows).items()),
            reasons=_shared(Counter(str(row.reason) for row in rows if row.reason).items()),
            sources=_about((source for source, _ in places), ids_known=not kind.OVERVIEW),
            overview=_text([[getattr(row, name) for name in kind.OVERVIEW] for row in rows if kind.OVERVIEW]),
        )
        schema = stored_schema(rows, kind)
        said = {**fragment.said(), "groups": [group for _, group in places]}
        with store.atomic(fragment.path) as file:
            write_sealed(file, schema, (to_table(group, kind, schema) for group in groups), said, [REST])
        return fragment

    def overview(self, fragment: Fragment, kind: type[AnyRow]) -> list[AnyRow]:
        """The rows of a fragment with the fields of ``kind.OVERVIEW`` alone; opens no file."""
        return [_summed_up(kind, values) for values in json.loads(fragment.overview)]

    def read(self, fragment: Fragment, kind: type[AnyRow], leaving_out: Iterable[str] = ()) -> list[AnyRow]:
        """The rows of a fragment in order; columns ``leaving_out`` come back with their default.

        Raises:
            DamagedFragment: It is not what was written.
        """
        with self._open(fragment) as file:
            return from_table(_with_rows(file).read(file, _columns(kind, leaving_out)), kind)

    def read_source(
        self, fragment: Fragment, source: str, kind: type[AnyRow], leaving_out: Iterable[str] = ()
    ) -> list[AnyRow]:
        """The rows of one of ``fragment.sources``.

        Raises:
            DamagedFragment: It is not what was written.
        """
        with self._open(fragment) as file:
            sealed = _with_rows(file)
            places = zip(sealed.said["sources"], sealed.said["groups"], strict=True)
            groups = {group for name, group in places if name == source}
            rows = from_table(sealed.read(file, _columns(kind, leaving_out), sorted(groups)), kind)
        return [row for row in rows if row.slot[0] == source]

    def sizes(self, fragment: Fragment, columns: Sequence[str]) -> dict[str, tuple[float, float]]:
        """About how many rows each source of a fragment has, and bytes in some columns: equal shares of its row group.

        Raises:
            DamagedFragment: It is not what was written.
        """
        with self._open(fragment) as file:
            sealed = _with_rows(file)
            places = list(zip(sealed.said["sources"], sealed.said["groups"], strict=True))
            found, sharing = sealed.sizes(columns), Counter(group for _, group in places)
            return {name: (found[at][0] / sharing[at], found[at][1] / sharing[at]) for name, at in places}

    def drop_rows(self, fragment: Fragment, kind: type[Row]) -> bool:
        """Leaves of a fragment what it says of itself. Whoever wants its rows finds it damaged, and makes it again.

        Returns:
            Whether there were rows.
        """
        with self._open(fragment) as file:
            if _DROPPED in open_sealed(file).said:
                return False
        with store.atomic(fragment.path) as file:
            write_sealed(file, stored_schema([], kind), (), {**fragment.said(), "groups": [], _DROPPED: True}, [REST])
        return True

    def discard(self, damage: DamagedFragment) -> None:
        """Removes a damaged fragment, so that it is made again."""
        logger.warning("%s is damaged and will be made again: %s", damage.path, damage.problem)
        store.remove(damage.path)
        with self._lock:
            self._seen.pop(damage.path, None)
            for known in self._earlier.values():
                for fragments in known.values():
                    fragments[:] = [fragment for fragment in fragments if fragment.path != damage.path]

    def _path(self, stage: str, shard: str, key: str) -> str:
        return f"{self.root}/{stage}/{shard}-{key[:16]}.parquet"

    def _read_index(self) -> None:
        with self._lock:
            if not self._index_read:
                for name, stamp, said in index.read(self.root):
                    path = f"{self.root}/{name}"
                    with suppress(KeyError, TypeError, AttributeError):  # another version wrote it
                        self._seen.setdefault(path, (stamp, Fragment.of(path, said)))
                self._index_read = True

    def _known(self, path: str, stamp: str) -> Fragment | None:
        """The fragment of a file, read once as long as the file is the same."""
        seen = self._seen.get(path)
        if seen is None or seen[0] != stamp:
            seen = self._seen[path] = stamp, self._load(path)
        return seen[1]

    def _load(self, path: str) -> Fragment | None:
        try:
            with _damage_of(path), store.open_input(path) as file:
                return Fragment.of(path, open_sealed(file).said)
        except FileNotFoundError:
            return None
        except DamagedFragment as damage:
            logger.warning("%s is not a readable fragment and will be made again: %s", path, damage.problem)
            return None

    @contextmanager
    def _open(self, fragment: Fragment) -> Iterator[IO[bytes]]:
        """A fragment's file, if it is still the same one."""
        with _damage_of(fragment.path):
            try:
                file = store.open_input(fragment.path)
            except FileNotFoundError as error:
                raise Damaged("it is gone") from error
            with file:
                yield file


def _by_source(fragments: Iterable[Fragment]) -> dict[tuple[str, str], list[Fragment]]:
    """Fragments by their settings and each of their sources."""
    found: dict[tuple[str, str], list[Fragment]] = defaultdict(list)
    for fragment in fragments:
        for source in fragment.sources:
            found[fragment.settings, source].append(fragment)
    return found


def _with_rows(file: IO[bytes]) -> Sealed:
    sealed = open_sealed(file)
    if _DROPPED in sealed.said:
        raise Damaged(ROWS_DROPPED)
    return sealed


@contextmanager
def _damage_of(path: str) -> Iterator[None]:
    """Whatever shows that a file's bytes are not those that were written becomes a :class:`DamagedFragment`."""
    try:
        yield
    except (Damaged, pa.ArrowException, ValueError, KeyError, TypeError) as error:
        raise DamagedFragment(path, str(error)) from error
    except OSError as error:
        if error.errno == errno.EIO and store.is_local(path):  # a bad disk; a bad network says so, too, and mends
            raise DamagedFragment(path, str(error)) from error
        raise


def _row_groups(rows: Sequence[Row]) -> tuple[list[tuple[str, int]], list[list[Row]]]:
    """Each source with the number of its row group, and the row groups."""
    places: list[tuple[str, int]] = []
    groups: list[list[Row]] = []
    for source, of_source in groupby(rows, key=lambda row: row.slot[0]):
        together = list(of_source)
        if not groups or len(groups[-1]) + len(together) > _GROUP_ROWS:
            groups.append([])
        groups[-1] += together
        places.append((source, len(groups) - 1))
    return places, groups


def _columns(kind: type[Row], leaving_out: Iterable[str]) -> list[str]:
    skipped = set(leaving_out)
    return [name for name in columns_of(kind) if name not in skipped]


def _summed_up(kind: type[AnyRow], values: Sequence[Any]) -> AnyRow:
    named = dict(zip(kind.OVERVIEW, values, strict=True))
    reason = named["reason"]
    return kind(**{**named, "status": Status(named["status"]), "reason": Reason(reason) if reason else None})
