"""The papers that go with a dataset: data card and Croissant, beside a manifest or inside an export."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipeline import store
from pipeline.config import UserError
from pipeline.exports.card import Given, facts_of
from pipeline.exports.croissant import PARQUET, Described, croissant, file_set, parquet_records, rejected_records
from pipeline.exports.destination import Unit, proof_of
from pipeline.exports.rows import SplitRows, columns_of
from pipeline.manifest.places import beside, folder_of, name_of
from pipeline.manifest.read import Manifest

if TYPE_CHECKING:
    from pipeline.exports.export import Layout

README, CROISSANT = "README.md", "croissant.json"
FOLDER = "__card__"
"""Beside a manifest; ``datasets`` passes over such names."""


def put_papers(
    unit: Unit,
    manifest: Manifest,
    rows: SplitRows,
    layout: Layout,
    files: Mapping[str, tuple[int, str]],
    given: Given,
) -> None:
    """Writes card and Croissant of an export into its root."""
    only = next(iter(rows.counts)) if len(rows.counts) == 1 and manifest.rows != sum(rows.counts.values()) else None
    facts = facts_of(manifest, given, only)
    files = {path: proof for path, proof in files.items() if path not in (README, CROISSANT)}
    listed = {path: proof for path, proof in files.items() if not path.endswith(".png")}
    unit.put(CROISSANT, croissant(facts, listed, layout.described(list(files))).encode())
    unit.put(README, facts.readme(layout.configs, files, layout.sentence).encode())


def write_card(path: str, out: str | None, given: Given) -> list[str]:
    """Writes a manifest's card and Croissant.

    Args:
        path: The manifest.
        out: The folder; None: that of the parts, or of a manifest of one file ``__card__/<stem>/`` beside it.
        given: What the user says.

    Returns:
        The files.

    Raises:
        UserError: Manifest and folder are not on one disk, so that one cannot point to the other.
    """
    manifest = Manifest(path)
    stem = name_of(manifest.path).removesuffix(".parquet")
    own = beside(manifest.path, f"{FOLDER}/{stem}") if len(manifest.paths) == 1 else folder_of(manifest.paths[0])
    folder = out.rstrip("/") if out else own
    listed = [*manifest.paths, *([manifest.rejected_path] if store.exists(manifest.rejected_path) else [])]
    names = {one: _seen_from(folder, one) for one in listed}
    files = {names[one]: proof_of(one) for one in listed}
    facts = facts_of(manifest, given)
    parts = [names[one] for one in manifest.paths]
    readme = facts.readme(
        [{"config_name": "default", "data_files": parts}],
        files,
        "One Parquet file" if len(parts) == 1 else f"{len(parts)} Parquet files",
    )
    texts = {README: readme, CROISSANT: croissant(facts, files, _described(manifest, parts, names))}
    for name, text in texts.items():
        store.write_bytes(store.join(folder, name), text.encode())
    return [store.join(folder, name) for name in texts]


def _described(manifest: Manifest, parts: list[str], names: Mapping[str, str]) -> Described:
    """Record sets of a manifest: its rows, and what did not get in.

    ``mlcroissant`` looks for sets of files below the description only; parts elsewhere are record sets of their own.
    """
    columns = columns_of(manifest)
    sets, records = [], [parquet_records("variations", parts[0], columns)]
    if len(parts) > 1 and not any(part.startswith("../") for part in parts):
        sets = [file_set("parts", parts, PARQUET)]
        records = [parquet_records("variations", "set:parts", columns)]
    elif len(parts) > 1:
        records = [parquet_records(f"variations-{at:05d}", part, columns) for at, part in enumerate(parts)]
    if manifest.rejected_path in names:
        records.append(rejected_records(names[manifest.rejected_path]))
    return Described(sets, records)


def _seen_from(folder: str, path: str) -> str:
    """A file's path as seen from a folder."""
    if store.is_local(folder) and store.is_local(path):
        return os.path.relpath(store.filesystem(path)[1], store.filesystem(folder)[1])
    root = folder_of(path)
    if not store.is_local(folder) and not store.is_local(path) and folder.startswith(root):
        return "../" * (folder[len(root) :].strip("/").count("/") + 1) + name_of(path)
    raise UserError(
        f"--out {folder}: the card points to the manifest's files, so it must lie on the same disk as {path}"
    )
