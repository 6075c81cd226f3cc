"""An export: the manifest's rows in another layout, piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.config import UserError
from pipeline.exports.croissant import Described
from pipeline.exports.destination import Destination, Unit
from pipeline.exports.rows import SplitRows
from pipeline.manifest.read import Manifest

LAYOUTS = ("hf", "webdataset", "imagefolder", "coco")


@dataclass(frozen=True)
class Piece:
    """A unit of work that can be done alone.

    Attributes:
        name: Its name, unique in the export.
        rows: How many rows it goes through, for the progress bar.
        write: Writes its files.
    """

    name: str
    rows: int
    write: Callable[[Unit], None]


class Layout(Protocol):
    """One way to lay rows out."""

    @property
    def sentence(self) -> str:
        """How the files lie, for the card."""
        ...

    @property
    def configs(self) -> list[dict[str, object]]:
        """``configs`` of the hub's YAML header: which files are which split."""
        ...

    def described(self, files: Sequence[str]) -> Described:
        """The record sets, for Croissant; ``files``: all that was written."""
        ...

    def pieces(self) -> Iterable[Piece]:
        """All work there is, in order."""
        ...


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What an export has come to.

    Attributes:
        files: Size and sha256 by path below the destination.
        rows: By split.
        reused: Pieces that an earlier call had finished.
        note: What the user should know, one line.
    """

    files: dict[str, tuple[int, str]]
    rows: dict[str, int]
    reused: int
    note: str | None


def export(
    path: str,
    to: str,
    dest: str,
    *,
    pairs: bool = False,
    split: str | None = None,
    license: str | None = None,
    creator: str | None = None,
    url: str | None = None,
    report: Callable[[int, int], None] = lambda done, of: None,
) -> Exported:
    """Writes a manifest in another layout; memory stays at one row group, and a second call does what is missing.

    Args:
        path: The manifest.
        to: One of :data:`LAYOUTS`.
        dest: An empty folder, local or a URL.
        pairs: Pairs of one subject (reference, target, caption, mask) instead of single pictures.
        split: Only this split.
        license, creator, url: For the card, see :class:`pipeline.exports.card.Given`.
        report: Told how many rows are through, and of how many, after each piece.

    Raises:
        UserError: No such layout, no rows, names that cannot be files, or a destination that holds something else.
    """
    from pipeline.exports.card import Given
    from pipeline.exports.papers import put_papers

    manifest = Manifest(path)
    rows = SplitRows(manifest, split)
    layout = _layout(to, rows, pairs)
    given = Given(license=license, creator=creator, url=url)
    key = {"digest": manifest.digest, "to": to, "pairs": pairs, "split": split, "version": 1, "given": given.said}
    there = Destination(dest, key)
    pieces = list(layout.pieces())
    through, reused, of = 0, 0, sum(piece.rows for piece in pieces)
    for piece in pieces:
        if there.done(piece.name):
            reused += 1
        else:
            there.write(piece.name, piece.write)
        through += piece.rows
        report(through, of)
    there.write("papers", lambda unit: put_papers(unit, manifest, rows, layout, dict(there.files), given))
    there.finish()
    return Exported(files=there.files, rows=rows.counts, reused=reused, note=getattr(layout, "note", None))


def _layout(to: str, rows: SplitRows, pairs: bool) -> Layout:
    from pipeline.exports.coco import Coco
    from pipeline.exports.hub import Hub
    from pipeline.exports.imagefolder import ImageFolder
    from pipeline.exports.pairs import PairFolder
    from pipeline.exports.webdataset import WebDataset

    kinds: dict[str, Callable[[SplitRows], Layout]] = {
        "hf": Hub, "webdataset": WebDataset, "imagefolder": ImageFolder, "coco": Coco,
    }  # fmt: skip
    if to not in kinds:
        raise UserError(f"--to {to}: there is {', '.join(LAYOUTS)}")
    if pairs and to != "imagefolder":
        raise UserError(
            f"--pairs: goes with --to imagefolder, the layout that training scripts read pairs from (not {to})"
        )
    return PairFolder(rows) if pairs else kinds[to](rows)
