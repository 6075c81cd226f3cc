"""Flips single bits in the files of a finished build: is every one found, healed, or without effect?

    python benchmarks/damage.py [--flips 200] [--sources 3] [--subjects 2] [--backgrounds 3] [--seed 0]

Bits are drawn evenly over the kinds of file. After a flip in a fragment (or in the index of fragments) the manifest is
removed and the build run again: *healed* if a warning names the file and the digest is the one of before, *without
effect* if there is no warning and the digest is the same, *silent* if it is another. After a flip in the manifest or
its list of rejected rows it is validated: *found* if that names a fault, *without effect* if the values and the footer
that readers get are the same, else *silent*. Exits with 1 if any was silent.
"""

from __future__ import annotations

import argparse
import logging
import random
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table
from scale import stages

from pipeline.config import build_config
from pipeline.manifest.finish import build_manifest
from pipeline.manifest.read import Manifest
from pipeline.manifest.validate.manifest import validate
from pipeline.runner import index
from pipeline.runner.build import open_build
from pipeline.runner.ledger import shared_ledger

OUTCOMES = ("found", "healed", "without effect", "silent")


class Warnings(logging.Handler):
    """Keeps what was warned of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


class Toy:
    """A small finished build below a folder."""

    def __init__(self, arguments: argparse.Namespace, folder: Path) -> None:
        self.arguments, self.folder = arguments, folder
        self.manifest = folder / "out" / "m.parquet"
        self.warnings = Warnings()
        logging.getLogger("pipeline").addHandler(self.warnings)
        logging.getLogger("pipeline").propagate = False
        (folder / "in").mkdir()
        for number in range(arguments.sources):
            (folder / "in" / f"{number:06d}.png").touch()
        self.digest = self.build()
        if problems := validate(str(self.manifest)):
            raise SystemExit(f"the undamaged build is not sound: {problems[0]}")
        self.said = _content(self.manifest)

    def build(self) -> str:
        """Builds, as a new process would; gives the manifest's digest."""
        shared_ledger.cache_clear()
        subjects, backgrounds = self.arguments.subjects, self.arguments.backgrounds
        config = build_config(
            sources=(str(self.folder / "in"),),
            manifest=str(self.manifest),
            work=str(self.folder / "work"),
            subjects=subjects,
            backgrounds=backgrounds,
        )
        return build_manifest(open_build(config, stages(subjects, backgrounds))).digest

    def files(self) -> dict[str, list[Path]]:
        """The files by kind."""
        (run,) = (self.folder / "work").iterdir()
        fragments = {f"fragment of {name}": sorted((run / name).glob("*.parquet")) for name in _STAGES}
        rejected = [Path(Manifest(str(self.manifest)).rejected_path)]
        return {**fragments, "index": [run / index.NAME], "manifest": [self.manifest], "rejected list": rejected}

    def after_flip(self, kind: str, path: Path) -> str:
        """What comes of a flipped bit; the files may be changed by it."""
        if kind in ("manifest", "rejected list"):
            return self._validated(path)
        self.warnings.said.clear()
        self.manifest.unlink()
        if path.parent.name in _STAGES:  # what was made of it goes, so that it is read
            for stage in _STAGES[_STAGES.index(path.parent.name) + 1 :]:
                for made_of_it in path.parents[1].glob(f"{stage}/{path.name.split('-')[0]}-*.parquet"):
                    made_of_it.unlink()
        digest = self.build()
        if digest != self.digest or validate(str(self.manifest)):
            return "silent"
        return "healed" if any(str(path) in said for said in self.warnings.said) else "without effect"

    def _validated(self, path: Path) -> str:
        if validate(str(self.manifest)):
            return "found"
        return "without effect" if _content(self.manifest) == self.said and _readable(path) else "silent"


_STAGES = ("sources", "poses", "subjects", "variations")


def _content(manifest: Path) -> Any:
    """What readers get: rows, footers, rejected rows; None where they get nothing."""
    try:
        opened = Manifest(str(manifest))
        rows = [row for batch in opened.batches() for row in batch.to_pylist()]
        return repr((rows, opened.footers, pq.read_table(opened.rejected_path).to_pylist()))
    except (ValueError, OSError, pa.ArrowException):
        return None


def _readable(path: Path) -> bool:
    try:
        pq.read_table(path)
    except (ValueError, OSError, pa.ArrowException):
        return False
    return True


def main() -> int:
    arguments = _arguments()
    folder, chance = Path(tempfile.mkdtemp(prefix="spotdiff-damage-")), random.Random(arguments.seed)
    try:
        (folder / "good").mkdir()
        toy = Toy(arguments, folder / "good")
        shutil.copytree(folder / "good", folder / "kept")
        kinds = toy.files()
        came: Counter[tuple[str, str]] = Counter()
        for number in range(arguments.flips):
            kind = list(kinds)[number % len(kinds)]
            path = chance.choice(kinds[kind])
            data = bytearray(path.read_bytes())
            bit = chance.randrange(8 * len(data))
            data[bit // 8] ^= 1 << bit % 8
            path.write_bytes(data)
            came[kind, toy.after_flip(kind, path)] += 1
            for part in ("work", "out"):
                shutil.rmtree(folder / "good" / part)
                shutil.copytree(folder / "kept" / part, folder / "good" / part)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    table = Table(box=None)
    for name in ("kind of file", "flips", *OUTCOMES):
        table.add_column(name, justify="left" if name == "kind of file" else "right")
    for kind in [*kinds, "all"]:
        counts = [sum(n for (of, what), n in came.items() if kind in (of, "all") and what == o) for o in OUTCOMES]
        table.add_row(kind, str(sum(counts)), *map(str, counts))
    Console(soft_wrap=True).print(table)
    return 1 if any(what == "silent" for _, what in came) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("flips", 200), ("sources", 3), ("subjects", 2), ("backgrounds", 3), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
