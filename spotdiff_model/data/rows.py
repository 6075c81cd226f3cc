"""The manifest's rows as arrays; pictures stay in the file."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from PIL import Image

from pipeline.config import UserError
from pipeline.manifest.columns import as_written, exact, gaps
from pipeline.manifest.digest import RowsDigest, canonical_columns
from pipeline.manifest.read import Manifest
from pipeline.manifest.schema import KEYPOINTS, SCHEMA

_TEXT = (
    "variation_id", "source_id", "pose_id", "subject_id", "background_id", "split", "sha256",
    "prompt", "subject_prompt", "background_prompt",
)  # fmt: skip
COLUMNS = (*_TEXT, "keypoints")
"""What training reads, besides ``image``."""


@dataclass(frozen=True)
class Rows:
    """N rows of a manifest.

    Attributes:
        manifest: Where they are from.
        numbers: ``[N]`` their places in it.
        text: The text columns by name, each ``[N]`` of str.
        keypoints: ``[N, 18, 3]`` float32.
    """

    manifest: Manifest
    numbers: np.ndarray
    text: dict[str, np.ndarray]
    keypoints: np.ndarray

    def __len__(self) -> int:
        return len(self.numbers)

    def __getattr__(self, name: str) -> np.ndarray:
        """A text column, e.g. ``rows.subject_id``."""
        if name in _TEXT:
            return self.text[name]
        raise AttributeError(name)

    def select(self, chosen: np.ndarray) -> Rows:
        """The rows at these places (or of this mask)."""
        text = {name: values[chosen] for name, values in self.text.items()}
        return Rows(self.manifest, self.numbers[chosen], text, self.keypoints[chosen])

    def described(self, template: str) -> Rows:
        """The same rows with prompts that name subject and background, whatever the inpainting was told."""
        pairs = zip(self.subject_prompt, self.background_prompt, strict=True)
        prompts = [template.format(subject=subject, background=background) for subject, background in pairs]
        return Rows(self.manifest, self.numbers, {**self.text, "prompt": np.array(prompts)}, self.keypoints)

    def of_split(self, split: str) -> Rows:
        """The rows of one split.

        Raises:
            UserError: There are none.
        """
        chosen = self.select(self.split == split)
        if not len(chosen):
            raise UserError(f"manifest {self.manifest.path}: no rows with split == {split!r}")
        return chosen

    def images(self, places: Sequence[int] | np.ndarray) -> Iterator[tuple[int, Image.Image]]:
        """Pictures of these rows with their places, in the manifest's order.

        Raises:
            UserError: A picture does not fit its checksum.
        """
        wanted = {int(self.numbers[place]): int(place) for place in places}
        at = 0
        for batch in self.manifest.batches(["image"]):
            for number in range(at, at + batch.num_rows):
                if number in wanted:
                    data = batch.column(0)[number - at]["bytes"].as_py()
                    if hashlib.sha256(data).hexdigest() != self.sha256[wanted[number]]:
                        raise UserError(
                            f"manifest {self.manifest.path}: row {number}: sha256 is not that of the image; "
                            "get the file again or build it again"
                        )
                    yield wanted[number], Image.open(io.BytesIO(data)).convert("RGB")
            at += batch.num_rows


def read_rows(path: str, *, check: bool = True) -> Rows:
    """Reads a manifest.

    Args:
        path: File or folder of parts.
        check: Whether to prove it against the digest in its footer (reads all of it).

    Raises:
        UserError: Columns are missing, there are no rows, or the digest does not fit.
    """
    manifest = Manifest(path)
    here = _columns(manifest)
    if check and not all("digest" in footer for footer in manifest.footers):
        raise UserError(
            f"manifest {path}: was written by another program and proves nothing of its rows; "
            f"`spotdiff filter {path} --out F` makes a manifest of it"
        )
    missing = [name for name in (*COLUMNS, "image") if name not in here]
    if missing:
        raise UserError(f"manifest {path}: lacks the columns {', '.join(missing)}; `spotdiff validate` tells more")
    digest: RowsDigest | None = RowsDigest()
    text: dict[str, list[str]] = {name: [] for name in _TEXT}
    keypoints: list[np.ndarray] = []
    for batch in map(as_written, manifest.batches([name for name in SCHEMA.names if check or name in COLUMNS])):
        for name, values in text.items():
            values += batch.column(name).to_pylist()
        keypoints.append(_points(batch, path))
        if digest and check and exact(batch):
            digest.add_columns(canonical_columns(batch))
        else:
            digest = None
    if check and (digest is None or digest.value != manifest.digest):
        raise UserError(
            f"manifest {path}: its rows do not fit the digest in its footer (a changed or damaged file); "
            "`spotdiff validate` names the rows"
        )
    columns = {name: np.asarray(values, dtype=np.str_) for name, values in text.items()}
    return Rows(manifest, np.arange(manifest.rows), columns, np.concatenate(keypoints))


def check_trainable(rows: Rows) -> None:
    """Whether reference and target can be different pictures of one subject, and subjects can be told apart.

    Raises:
        UserError: One subject only, or no subject occurs before two backgrounds.
    """
    subjects = np.unique(rows.subject_id)
    path = rows.manifest.path
    if len(subjects) < 2:
        raise UserError(
            f"manifest {path}: split 'train' has one subject only ({subjects[0]}); training tells subjects apart, so "
            "build with at least two (--subjects)"
        )
    pairs = {*zip(rows.subject_id.tolist(), rows.background_id.tolist(), strict=True)}
    if len(pairs) == len(subjects):
        raise UserError(
            f"manifest {path}: no subject stands before two backgrounds; reference and target must differ in it, so "
            "build with at least two (--backgrounds)"
        )


def _columns(manifest: Manifest) -> set[str]:
    for batch in manifest.batches(None, 1):
        return set(batch.schema.names)
    raise UserError(f"manifest {manifest.path}: there are no rows")


def _points(batch: pa.RecordBatch, path: str) -> np.ndarray:
    """``[N, 18, 3]``."""
    column = batch.column("keypoints")
    if column.type != KEYPOINTS or column.null_count or gaps(batch):
        raise UserError(f"manifest {path}: not every row has 18 keypoints; `spotdiff validate` names the rows")
    return np.asarray(column.flatten().flatten()).reshape(-1, 18, 3)
