"""What is done: one Parquet fragment per stage and shard, named after the key of all that it depends on.

``<work>/<run>/<stage>/<shard>-<key16>.parquet``. A fragment that is there and readable is done; nothing else is kept
about progress anywhere. Its rows stand in one row group per source, so that one source can be read by itself.
"""

from __future__ import annotations

import functools
import json
import logging
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import groupby
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import ids, store
from pipeline.arrow import from_table, schema_of, to_table
from pipeline.records import AnyRow, Row

logger = logging.getLogger(__name__)
_FOOTER = b"spotdiff"


@dataclass(frozen=True, kw_only=True)
class Fragment:
    """A stage's finished result for one shard; small, can be passed between processes.

    Attributes:
        key: Digest of stage, version, settings and input: the reason why this fragment need not be made again.
        settings: Digest of stage, version and settings alone: rows may be reused where it is the same.
        digest: Of the rows that go on (``ok``), whatever the Parquet encoding; the next stage's input digest.
        counts: Rows by status. reasons: Rejected rows by reason.
        sources: What the row groups are about, in order: each source's id (its path in the ``sources`` stage).
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

    @property
    def total(self) -> int:
        return sum(self.counts.values())


@functools.cache
def shared_ledger(root: str) -> Ledger:
    """The process's ledger of this root: its index of fragments is made once, for all tasks."""
    return Ledger(root)


class Ledger:
    """The fragments of one run below ``root`` (``<work>/<run>``, a folder or URL). Safe to use from threads."""

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/")
        self._lock = threading.Lock()
        self._index: dict[str, dict[tuple[str, str], list[Fragment]]] = {}

    def find(self, stage: str, shard: str, key: str) -> Fragment | None:
        """The fragment of this key, or None if it is missing or cannot be read (then it is made again)."""
        fragment = self._load(self._path(stage, shard, key))
        return fragment if fragment and fragment.key == key else None

    def fragments(self, stage: str) -> list[Fragment]:
        """All readable fragments of a stage, stale ones too, sorted by name."""
        paths = store.list_files(f"{self.root}/{stage}", ".parquet")
        return [fragment for fragment in map(self._load, paths) if fragment]

    def earlier(self, stage: str, settings: str, sources: Iterable[str]) -> list[Fragment]:
        """Fragments made with the same settings that hold rows of any of these sources, whatever their shard.

        Finding them after the listing or the shard size has changed means reading all of the stage's footers: done
        once per process, and only when something is missing.
        """
        with self._lock:
            if stage not in self._index:
                self._index[stage] = defaultdict(list)
                for fragment in self.fragments(stage):
                    self._remember(fragment)
            index = self._index[stage]
            found = {f.path: f for source in sources for f in index.get((settings, source), ())}
        return [found[path] for path in sorted(found)]

    def write(
        self, rows: Sequence[Row], kind: type[Row], *, stage: str, shard: str, key: str, settings: str
    ) -> Fragment:
        """Writes a fragment atomically; rows of one source must stand together."""
        groups = [(source, list(group)) for source, group in groupby(rows, key=lambda row: row.slot[0])]
        fragment = Fragment(
            path=self._path(stage, shard, key),
            stage=stage,
            shard=shard,
            key=key,
            settings=settings,
            digest=ids.rows_digest(rows),
            counts=dict(Counter(str(row.status) for row in rows)),
            reasons=dict(Counter(str(row.reason) for row in rows if row.reason)),
            sources=tuple(source for source, _ in groups),
        )
        footer = {name: value for name, value in asdict(fragment).items() if name != "path"}
        schema = schema_of(kind).with_metadata({_FOOTER: json.dumps(footer).encode("utf-8", "surrogatepass")})
        with store.atomic(fragment.path) as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
            for _, group in groups:
                writer.write_table(to_table(group, kind))
        with self._lock:
            if stage in self._index:
                self._remember(fragment)
        return fragment

    def read(self, fragment: Fragment, kind: type[AnyRow], leaving_out: Iterable[str] = ()) -> list[AnyRow]:
        """The rows of a fragment in order; columns ``leaving_out`` come back with their default."""
        return self._read(fragment, kind, leaving_out, lambda file, names: file.read(columns=names))

    def read_source(
        self, fragment: Fragment, source: str, kind: type[AnyRow], leaving_out: Iterable[str] = ()
    ) -> list[AnyRow]:
        """The rows of one of ``fragment.sources``."""
        groups = [number for number, name in enumerate(fragment.sources) if name == source]
        return self._read(fragment, kind, leaving_out, lambda file, names: file.read_row_groups(groups, columns=names))

    def _path(self, stage: str, shard: str, key: str) -> str:
        return f"{self.root}/{stage}/{shard}-{key[:16]}.parquet"

    def _load(self, path: str) -> Fragment | None:
        try:
            with store.open_input(path) as file:
                metadata = pq.read_metadata(file).metadata or {}
            footer = json.loads(metadata[_FOOTER])
            footer = {name: footer[name] for name in (f.name for f in fields(Fragment)) if name != "path"}
        except FileNotFoundError:
            return None
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            logger.warning("%s is not a readable fragment and will be made again: %s", path, error)
            return None
        return Fragment(path=path, **{**footer, "sources": tuple(footer["sources"])})

    def _read(
        self,
        fragment: Fragment,
        kind: type[AnyRow],
        leaving_out: Iterable[str],
        read: Callable[[pq.ParquetFile, list[str]], pa.Table],
    ) -> list[AnyRow]:
        skipped = set(leaving_out)
        names = [name for name in schema_of(kind).names if name not in skipped]
        with store.open_input(fragment.path) as file, pq.ParquetFile(file) as parquet:
            return from_table(read(parquet, names), kind)

    def _remember(self, fragment: Fragment) -> None:
        for source in fragment.sources:
            known: list[Any] = self._index[fragment.stage][fragment.settings, source]
            known[:] = [*(f for f in known if f.path != fragment.path), fragment]
