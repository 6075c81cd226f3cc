"""Writes the report of a manifest: a static site that is opened from a disk, a web server or an object store."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipeline.config import UserError
from pipeline.manifest.places import name_of
from pipeline.manifest.read import Manifest
from pipeline.manifest.schema import SCHEMA
from pipeline.report import overview
from pipeline.report.facts import facts_of, usage_of, work_of
from pipeline.report.pages import ASSETS, VENDORED, asset, page
from pipeline.report.places import INDEX, MARK, mark_of
from pipeline.report.run_pictures import RunPictures
from pipeline.report.site_files import SiteFiles, finite
from pipeline.report.source_page import SourcePage, page_name
from pipeline.report.tables import FACTORS, LIGHT, for_browser, light_frame, missed_table, need_columns
from pipeline.report.twins import near_twins

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Report:
    """A written report. ``path``: its first page; ``files`` and ``bytes``: how many, how much."""

    path: str
    files: int
    bytes: int


def write_report(manifest: Manifest, folder: str, run: RunPictures | None = None, *, originals: bool = False) -> Report:
    """Writes the site; memory stays at one source's thumbnails and the light columns of all rows.

    Args:
        manifest: The dataset.
        folder: Where to, local or a URL; files of an earlier report there are replaced.
        run: What the run still knows: photos, figures, pictures of what was rejected.
        originals: Store the variations' pictures as they are, too, one file each.

    Raises:
        UserError: Columns are missing, or a picture cannot be read.
    """
    need_columns(manifest, "a report")
    files = SiteFiles(folder)
    site = _Site(manifest, files, run, originals)
    site.write_sources()
    site.write_pages()
    for name in (*ASSETS, *VENDORED):
        files.put(f"assets/{name}", asset(name))
    files.put(MARK, mark_of(manifest).encode())
    files.sweep()
    return Report(f"{files.folder}/{INDEX}", len(files.names), files.bytes)


class _Site:
    """What is gathered while the manifest is read once."""

    def __init__(self, manifest: Manifest, files: SiteFiles, run: RunPictures | None, originals: bool) -> None:
        self.manifest, self.files, self.run, self.originals = manifest, files, run, originals
        missed = missed_table(manifest)
        self.missed: pd.DataFrame = missed.to_pandas()
        self.misses_of: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for number, miss in enumerate(missed.to_pylist()):
            self.misses_of[miss["source_id"]].append({**miss, "number": number})
        self.light: list[pa.RecordBatch] = []
        self.sources: list[dict[str, Any]] = []
        self.tiles: list[int] = []
        self.miss_tiles = [-1] * len(self.missed)
        self.attempts: dict[str, int] | None = {"subjects": 0, "backgrounds": 0} if run else None
        self.prompts: dict[str, dict[str, str]] = {"subjects": {}, "backgrounds": {}}

    def write_sources(self) -> None:
        """Reads the manifest once; each source's files are written as soon as its last row was seen."""
        at: SourcePage | None = None
        for batch in self.manifest.batches():
            self.light.append(_light(batch))
            for row in batch.to_pylist():
                if at is None or row["source_id"] != at.source_id:
                    self._close(at)
                    at = SourcePage(str(row["source_id"]), self.files.put, self.originals)
                with self._reading(row):
                    at.add(row)
        self._close(at)
        here = {source["source_id"] for source in self.sources}
        for source, misses in list(self.misses_of.items()):
            if source not in here and (self.run or any(miss["kind"] != "source" for miss in misses)):
                self._close(SourcePage(source, self.files.put))

    def _close(self, source: SourcePage | None) -> None:
        if source is None:
            return
        misses = self.misses_of.get(source.source_id, [])
        source.add_misses(misses, self.run)
        data = source.close()
        if not source.rows and not source.tiles and not source.subjects:
            return  # nothing to be seen
        at = [data["rows"][number]["tile"] for number in range(len(data["rows"]))]
        first = len(self.tiles)
        self.tiles += at
        for miss, said in zip(misses, data["misses"], strict=True):
            self.miss_tiles[miss["number"]] = -1 if said["tile"] is None else said["tile"]
        self._count_attempts(data)
        self.prompts["subjects"] |= {name: one["prompt"] for name, one in data["subjects"].items()}
        self.prompts["backgrounds"] |= data["backgrounds"]
        listed = ("source_id", "name", "tiles", "path", "split", "photo", "control")
        self.sources.append(
            {
                **{name: data.get(name) for name in listed},
                "first": first,
                "rows": len(data["rows"]),
                "missed": len(misses),
                "subjects": len(data["subjects"]),
            }
        )
        self.files.put_data(f"sources/{source.name}", data)
        shown = {"source": _for_template(data), "site": self._site("../", source.source_id)}
        self.files.put(f"sources/{source.name}.html", page("source.html.j2", **shown))

    def _count_attempts(self, data: Mapping[str, Any]) -> None:
        """Adds a source's generated pictures; None from the first on of which it is not known."""
        subjects = [one["attempt"] for one in data["subjects"].values()]
        tried = [*data["rows"], *(miss for miss in data["misses"] if miss["kind"] == "variation")]
        backgrounds = [one["attempt"] for one in tried]
        if self.attempts and None not in subjects and None not in backgrounds:
            self.attempts["subjects"] += sum(subjects) + len(subjects)
            self.attempts["backgrounds"] += sum(backgrounds) + len(backgrounds)
        else:
            self.attempts = None

    def write_pages(self) -> None:
        """The pages about all sources, and their data."""
        rows, manifest = light_frame(self.light), self.manifest
        footer = manifest.footer
        for name, frame in (("rows", self._rows(rows)), ("misses", self._misses())):
            self.files.put_data(name, frame)
        self.files.put_data("twins", near_twins(rows))
        self.files.put_data("site", self._for_viewer(rows))
        counts = overview.stage_counts(rows, self.missed)
        numbers = {
            "counts": counts,
            "funnel": overview.funnel(counts, len(rows), footer),
            "splits": overview.split_counts(rows),
            "reasons": overview.reasons(self.missed),
            "scores": overview.distributions(rows, self.missed, footer),
            "coverage": overview.coverage(rows, self.missed, footer, self._splits()),
        }
        licences = rows["source_license"].value_counts(dropna=False)
        facts = facts_of(manifest, {str(name): int(n) for name, n in licences.items() if n})
        seconds = self.run.seconds() if self.run else None
        work = work_of(footer, self.attempts, seconds) if self.attempts else []
        used = usage_of(footer)
        names: Mapping[str, dict[str, Any]] = {
            INDEX: {"numbers": finite(numbers), "facts": facts, "work": work, "used": used},
            "sources.html": {"sources": self.sources},
            "browse.html": {},
            "compare.html": {},
            "rejects.html": {"missed": len(self.missed), "list": manifest.rejected_path},
        }
        for name, values in names.items():
            site = self._site("", "")
            self.files.put(name, page(f"{name}.j2", site=site, **values))

    def _rows(self, rows: pd.DataFrame) -> dict[str, Any]:
        frame = rows.drop(columns=["phash", "source_license"]).assign(tile=self.tiles)
        frame["attempt"] = frame["attempt"].fillna(0).astype("int32")
        return for_browser(frame)

    def _misses(self) -> dict[str, Any]:
        frame = self.missed.assign(
            reason=self.missed["reason"].fillna(self.missed["status"]),
            split=self.missed["source_id"].map(self._splits()),
            tile=self.miss_tiles,
            page=[page_name(source) for source in self.missed["source_id"]],
            at=self.missed.groupby("source_id").cumcount(),
        )
        for name in ("attempt", "people"):
            frame[name] = frame[name].fillna(-1).astype("int32")
        return for_browser(frame.drop(columns=["nsfw", "status"]))

    def _splits(self) -> dict[str, str | None]:
        return {source["source_id"]: source["split"] for source in self.sources}

    def _for_viewer(self, rows: pd.DataFrame) -> dict[str, Any]:
        footer = self.manifest.footer
        known = {name: {str(one) for one in rows[name].cat.categories} for name in FACTORS}
        return {
            "manifest": self.manifest.path,
            "rejected": self.manifest.rejected_path,
            "digest": self.manifest.digest,
            "gates": overview.gates(footer),
            "titles": overview.TITLES,
            "models": [
                {name: model.get(name) for name in ("role", "repo", "revision", "fingerprint")}
                for model in footer.get("models", [])
            ],
            "code_version": footer.get("code_version"),
            "originals": self.originals,
            "sources": self.sources,
            "in_rows": {name: len(values) for name, values in known.items()},
            **self.prompts,
        }

    def _site(self, root: str, source: str) -> dict[str, Any]:
        name = name_of(self.manifest.path)
        manifest = {"name": name, "digest": self.manifest.digest, "rows": self.manifest.rows}
        return {**manifest, "root": root, "source": source, "quoted": shlex.quote(self.manifest.path)}

    @contextmanager
    def _reading(self, row: Mapping[str, Any]) -> Iterator[None]:
        try:
            yield
        except (OSError, TypeError, ValueError) as error:
            if isinstance(error, UserError | OSError) and getattr(error, "filename", None):
                raise  # of the site's own files
            raise UserError(
                f"manifest {self.manifest.path}: row {row.get('variation_id')}: a picture cannot be read ({error}); "
                "`spotdiff validate` tells more"
            ) from error


def _light(batch: pa.RecordBatch) -> pa.RecordBatch:
    columns = [
        batch.column(name).cast(SCHEMA.field(name).type)
        if name in batch.schema.names
        else pa.nulls(batch.num_rows, SCHEMA.field(name).type)
        for name in LIGHT
    ]
    return pa.RecordBatch.from_arrays(columns, names=list(LIGHT))


def _for_template(data: dict[str, Any]) -> dict[str, Any]:
    """A source's data with its cells by subject and background."""
    cells: dict[str, dict[str, Any]] = {name: {} for name in data["subjects"]}
    for number, row in enumerate(data["rows"]):
        cells[row["subject"]][row["background_id"]] = {"row": number, **row}
    for number, miss in enumerate(data["misses"]):
        if miss["kind"] == "variation":
            cells.setdefault(miss["subject_id"], {})[miss["background_id"]] = {"miss": number, **miss}
    return {**data, "cells": cells, "backgrounds": dict(sorted(data["backgrounds"].items()))}
