"""Several manifests as one, where nothing that they say contradicts: ids, splits, settings."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline import ids, store
from pipeline.config import SourceSettings, UserError, manifest_stem
from pipeline.imaging.phash import NearHashes
from pipeline.manifest.filter import OF_THE_FILE, ORDER, check_columns, complete, misses_of
from pipeline.manifest.read import Manifest
from pipeline.manifest.schema import FORMAT
from pipeline.manifest.writing import new_manifest

_PER_RUN = ("run", "run_id", "created", "code_version", "profile", "config", "models", "versions", "filtered", "usage")
"""What is kept of each run's footer."""
_PLACES = {"manifest", "work", "shard_size", "retry"}


def merge_manifests(paths: Sequence[str], out: str) -> Manifest:
    """Writes the rows of several manifests as one; memory stays at one row group of each, and the ids of their factors.

    Args:
        paths: At least two manifests of the same profile and models; seeds, sources and numbers may differ.
        out: Where to write, ``….parquet``.

    Raises:
        UserError: A row is in two of them, a source, subject or background is in two splits, near-duplicate sources
            are, or they were made with different settings or models.
    """
    if len(paths) < 2:
        raise UserError("merge: name at least two manifests")
    manifests = [Manifest(path) for path in paths]
    for manifest in manifests:
        if store.filesystem(manifest.path)[1] == store.filesystem(out)[1]:
            raise UserError(f"--out {out}: is one of the manifests; name another file")
        check_columns(manifest)
        _check_settings(manifests[0], manifest)
    shared = _check_factors(manifests)
    with new_manifest(out, _footer(manifests, out, shared)) as (writer, rejected):
        last: tuple[str, ...] = ()
        origin = manifests[0]
        for key, at, row in heapq.merge(*(_rows(one, at) for at, one in enumerate(manifests)), key=lambda row: row[:2]):
            if key == last:
                raise UserError(
                    f"merge: row {'/'.join(key)} is in {origin.path} and in {manifests[at].path}; take it out of one "
                    "with `spotdiff filter`"
                )
            last, origin = key, manifests[at]
            writer.add(row)
        for manifest in manifests:
            for miss in misses_of(manifest):
                rejected.add_values(miss)
    return Manifest(out)


def _rows(manifest: Manifest, number: int) -> Iterator[tuple[tuple[str, ...], int, dict[str, Any]]]:
    last: tuple[str, ...] = ()
    for batch in manifest.batches():
        for row in complete(manifest, batch).to_pylist():
            key = tuple(row[name] for name in ORDER)
            if None in key or key <= last:
                raise UserError(
                    f"manifest {manifest.path}: row {'/'.join(map(str, key))} is there twice or out of order; "
                    "`spotdiff validate` says more"
                )
            last = key
            yield key, number, row


def _check_settings(first: Manifest, other: Manifest) -> None:
    for manifest in (first, other):
        if "profile" not in manifest.footer:
            raise UserError(
                f"manifest {manifest.path}: does not say how it was made; mend it with spotdiff filter --parent"
            )
    for name in ("profile", "models"):
        ours, theirs = (_flat(one.footer.get(name)) for one in (first, other))
        for field in sorted(ours.keys() | theirs.keys()):
            if ours.get(field) != theirs.get(field):
                raise UserError(
                    f"merge: {first.path} and {other.path} differ in {name}{field}: {ours.get(field)!r} and "
                    f"{theirs.get(field)!r}; only what was made in the same way can be one dataset"
                )


def _flat(value: Any, at: str = "") -> dict[str, Any]:
    """A nested value's leaves by their dotted place."""
    if isinstance(value, Mapping):
        return {place: leaf for name, inner in value.items() for place, leaf in _flat(inner, f"{at}.{name}").items()}
    if isinstance(value, list):
        return {place: leaf for name, inner in enumerate(value) for place, leaf in _flat(inner, f"{at}.{name}").items()}
    return {at: value}


def _check_factors(manifests: Sequence[Manifest]) -> bool:
    """Holds the splits of all factors against each other; gives whether any source is in two manifests."""
    split_of: dict[tuple[str, str], tuple[str, str]] = {}
    origin: dict[str, Manifest] = {}
    hashes: dict[str, tuple[str, str]] = {}
    shared = False
    for manifest in manifests:
        for batch in manifest.batches([*ORDER, "split", "source_phash"], size=10_000):
            columns = [batch.column(name).to_pylist() for name in (*ORDER, "split", "source_phash")]
            for *factors, split, code in zip(*columns, strict=True):
                for name, value in zip(ORDER, factors, strict=True):
                    known = split_of.setdefault((name, value), (split, manifest.path))
                    if known[0] != split:
                        raise UserError(
                            f"merge: {name} {value} is in split {known[0]} of {known[1]} and in split {split} of "
                            f"{manifest.path}; take it out of one with `spotdiff filter`"
                        )
                source = factors[0]
                shared |= origin.setdefault(source, manifest) is not manifest
                hashes[source] = split, code
    distance = (manifests[0].footer["profile"].get("sources") or {}).get("phash_distance")
    _check_near(hashes, SourceSettings(size=1).phash_distance if distance is None else distance)
    return shared


def _check_near(hashes: Mapping[str, tuple[str, str]], distance: int) -> None:
    by_split: dict[str, NearHashes] = {}
    for source, (split, code) in sorted(hashes.items()):
        for other, known in by_split.items():
            near = known.find(code) if other != split else None
            if near is not None:
                raise UserError(
                    f"merge: source {source} (split {split}) is a near-duplicate of {near} (split {other}); take one "
                    f"out with `spotdiff filter --where \"source_id != '{source}'\"`"
                )
        by_split.setdefault(split, NearHashes(distance)).add(code, source)


def _footer(manifests: Sequence[Manifest], out: str, shared: bool) -> dict[str, Any]:
    """What the runs have in common, and of each what it says itself."""
    runs: list[dict[str, Any]] = []
    for manifest in manifests:
        said = {name: manifest.footer[name] for name in _PER_RUN if name in manifest.footer}
        runs += manifest.footer.get("merged") or [{**said, "digest": manifest.digest, "rows": manifest.rows}]
    common = {name: value for name, value in manifests[0].footer.items() if name not in OF_THE_FILE}
    for name in ("filtered", "merged", "made_of", "usage"):
        common.pop(name, None)
    return {
        **common,
        "format": FORMAT,
        "run": Path(manifest_stem(out)).name,
        "run_id": ids.digest([one.get("run_id") for one in runs])[: ids.ID_DIGITS],
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "config": _config([one["config"] for one in runs], shared),
        "merged": runs,
    }


def _config(configs: Sequence[Mapping[str, Any]], shared: bool) -> dict[str, Any]:
    """What was the same in all runs; null: it was not, or says nothing of the whole."""
    same = {
        name: value if all(other.get(name) == value for other in configs) else None
        for name, value in configs[0].items()
        if name not in _PLACES
    }
    same["sources"] = list(dict.fromkeys(source for config in configs for source in config.get("sources") or ()))
    if shared:  # one source then has the subjects and backgrounds of several runs
        same["subjects"] = same["backgrounds"] = None
    return same
