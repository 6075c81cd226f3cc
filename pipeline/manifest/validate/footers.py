"""What a manifest's footers say of themselves, of its rows and of its list of misses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from pipeline import store
from pipeline.arrow import open_parquet
from pipeline.config import UserError, manifest_stem
from pipeline.manifest import checksum
from pipeline.manifest.digest import RowsDigest
from pipeline.manifest.places import SUFFIX, name_of, part_of
from pipeline.manifest.read import Manifest
from pipeline.manifest.rejected import sha256_of
from pipeline.manifest.schema import FORMAT, REJECTED_SCHEMA
from pipeline.manifest.validate.problems import AGAIN, MEND, Problems

_LIST_AGAIN = "get this file again, too, or build it again"


def check_footers(manifest: Manifest, problems: Problems, *, rewritten: bool) -> None:
    """Whether each part has a footer of ours that is as it was written.

    Args:
        manifest: What to check.
        problems: Where to add.
        rewritten: Another program wrote the columns, which was told already; so the checksum cannot fit.
    """
    if not any(manifest.footers):
        message = "the Parquet footer does not say how it was made (no 'spotdiff' metadata)"
        problems.add(None, None, message, remedy=MEND)
        return
    for path, footer in zip(manifest.paths, manifest.footers, strict=True):
        where = f"the footer of {name_of(path)}"
        for name in ("format", "part", "rows", "digest"):
            if name not in footer:
                problems.add(None, None, f"{where} lacks '{name}'", remedy=MEND)
        if "format" in footer and footer["format"] != FORMAT:
            message = f"{where} says format {footer['format']!r}; this version knows {FORMAT}"
            problems.add(None, None, message, remedy="take the version of spotdiff that wrote it")
        said = footer.get("checksum")
        if said is None and "generation" in footer:
            problems.add(None, None, f"{where} lacks 'checksum'", remedy=MEND)
        elif said is not None and not rewritten:
            with store.open_input(path) as file:
                if not checksum.fits(file, str(said)):
                    message = f"{where} is not as it was written: damaged, or another program rewrote the file"
                    problems.add(None, None, message, remedy=f"{AGAIN}; {MEND}")
    if not isinstance(manifest.footers[-1].get("total"), dict):
        problems.add(None, None, f"the footer of {name_of(manifest.paths[-1])} lacks 'total'", remedy=MEND)


def check_folder(manifest: Manifest, problems: Problems) -> None:
    """Whether other programs have put files among the parts, which they would read as rows."""
    for path in store.list_files(manifest_stem(manifest.path), SUFFIX):
        if path not in manifest.paths and part_of(path) is None:
            problems.add(None, None, f"{path}: is no part of the manifest", remedy="move it away")


def check_sums(manifest: Manifest, rows: list[int], digests: list[str | None], problems: Problems) -> None:
    """Holds rows and digests of the parts, as counted (None: cannot be told), against the footers."""
    fits = True
    for at, footer in enumerate(manifest.footers):
        part = "" if len(manifest.paths) == 1 else f" in {name_of(manifest.paths[at])}"
        if "rows" in footer and footer["rows"] != rows[at]:
            problems.add(None, None, f"{rows[at]} rows, the footer says {footer['rows']}{part}")
            fits = False
        if "digest" in footer and digests[at] is not None and footer["digest"] != digests[at]:
            problems.add(None, None, f"digest of the rows is {digests[at]}, the footer says {footer['digest']}{part}")
            fits = False
    total = manifest.footers[-1].get("total")
    if not fits or not isinstance(total, dict):
        return
    if total.get("rows") != sum(rows):
        problems.add(None, None, f"{sum(rows)} rows, the footer says {total.get('rows')} in all")
    if None not in digests:
        whole = RowsDigest()
        for digest in digests:
            whole.merge(digest or "0")
        if total.get("digest") != whole.value:
            message = f"digest of the rows is {whole.value}, the footer says {total.get('digest')} of all"
            problems.add(None, None, message)


def misses(manifest: Manifest, problems: Problems) -> Iterator[tuple[str, str]] | None:
    """Kind and source of what did not get in; None where there is no list, or not the right one."""
    path = manifest.rejected_path
    named: Any = manifest.footers[-1].get("rejected")
    if not store.exists(path):
        if named:
            message = f"{path}: the list of what did not get in is missing"
            problems.add(None, None, message, remedy=_LIST_AGAIN)
        return None
    try:
        file = store.open_input(path)
    except (UserError, OSError) as error:
        problems.add(None, None, f"{path}: cannot be opened: {error}", remedy=_LIST_AGAIN)
        return None
    with file:
        if isinstance(named, dict) and sha256_of(file) != named.get("sha256"):
            message = f"{path}: is not the list that was written with this manifest, or damaged"
            problems.add(None, None, message, remedy=_LIST_AGAIN)
            return None
        try:
            schema = open_parquet(file).schema_arrow
        except (pa.ArrowException, OSError) as error:
            problems.add(None, None, f"{path}: not a readable Parquet file: {error}", remedy=_LIST_AGAIN)
            return None
    missing = [name for name in REJECTED_SCHEMA.names if name not in schema.names]
    if missing:
        problems.add(None, None, f"{path}: lacks the columns {', '.join(missing)}", remedy=_LIST_AGAIN)
        return None
    return _rows_of(path)


def _rows_of(path: str) -> Iterator[tuple[str, str]]:
    with store.open_input(path) as file, open_parquet(file) as parquet:
        for batch in parquet.iter_batches(columns=["kind", "source_id"], use_threads=False):
            yield from zip(*(batch.column(name).to_pylist() for name in ("kind", "source_id")), strict=True)
