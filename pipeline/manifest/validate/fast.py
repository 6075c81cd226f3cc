"""A first look at many rows at once: which of them must be looked at one by one.

It names nothing. A row that passes here is sound by all that :func:`~pipeline.manifest.validate.rows.check_row` asks;
of the others, and of what is not just as our writer writes it, that function says what is wrong.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from pipeline import ids
from pipeline.manifest.schema import OPTIONAL, SCHEMA
from pipeline.manifest.validate.rows import SLACK, shows_pose
from pipeline.manifest.validate.rules import Rules

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB = 0, 2
_SIDE, _LOW = 32, 8
_COSINES = 2 * np.cos(np.pi / (2 * _SIDE) * np.outer(np.arange(_LOW), 2 * np.arange(_SIDE) + 1))
"""``[8, 32]``: the lowest frequencies of the discrete cosine transform."""


class Glance:
    """Looks at batches of rows in order; what repeats from row to row is looked at once."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self._sources: dict[tuple[str, str], tuple[str, str | None]] = {}
        self._seen: dict[str, tuple[bytes, tuple[object, ...], bool]] = {}

    def doubtful(self, batch: pa.RecordBatch, columns: Mapping[str, Sequence[str]]) -> list[int]:
        """Places in a batch of rows that may be wrong.

        Args:
            batch: All columns of :data:`SCHEMA`, of its types.
            columns: The same as :func:`pipeline.manifest.digest.canonical_columns`.
        """
        points = batch.column("keypoints")
        if points.null_count or any(batch.column(name).null_count for name in SCHEMA.names if name not in OPTIONAL):
            return list(range(batch.num_rows))
        keypoints = points.flatten().flatten().to_numpy().reshape(-1, 18, 3)
        good = _text(batch) & _numbers(batch, self.rules) & _keypoints(keypoints)
        good &= np.array(columns["sha256"]) == np.array(columns["image"])
        good &= self._ids(batch, columns["keypoints"], keypoints)
        good &= self._pictures(batch, keypoints)
        return [int(place) for place in np.flatnonzero(~good)]

    def _ids(self, batch: pa.RecordBatch, shas: Sequence[str], keypoints: np.ndarray) -> np.ndarray:
        names = ("variation_id", "source_id", "subject_id", "background_id", "pose_id", "split")
        good = np.ones(batch.num_rows, bool)
        rows = zip(*(batch.column(name).to_pylist() for name in names), strict=True)
        for place, (variation, source, subject, background, pose, split) in enumerate(rows):
            key = source, shas[place]
            if key not in self._sources:
                self._sources = {key: self._of_source(source, keypoints[place])}
            due_pose, due_split = self._sources[key]
            good[place] = (
                variation == ids.variation_id(source, subject, background)
                and pose == due_pose
                and split in ids.SPLITS
                and due_split in (split, None)
            )
        return good

    def _of_source(self, source: str, keypoints: np.ndarray) -> tuple[str, str | None]:
        """Its pose's id and its split."""
        known = self.rules.splits and self.rules.seed is not None
        split = ids.split_of(source, self.rules.seed, self.rules.splits) if known else None  # type: ignore[arg-type]
        return ids.pose_id(source, keypoints.tolist()), split

    def _pictures(self, batch: pa.RecordBatch, keypoints: np.ndarray) -> np.ndarray:
        size = [batch.column(name).to_pylist() for name in ("width", "height")]
        areas, hashes = batch.column("mask_area").to_pylist(), batch.column("phash").to_pylist()
        image, mask, control = (batch.column(name).field("bytes").to_pylist() for name in ("image", "mask", "control"))
        good = np.ones(batch.num_rows, bool)
        small = np.zeros((batch.num_rows, _SIDE, _SIDE))
        for place, (width, height) in enumerate(zip(*size, strict=True)):
            pixels = _decode(image[place], width, height, _RGB)
            if pixels is None:
                good[place] = False
                continue
            grey = Image.fromarray(pixels).convert("L").resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
            small[place] = np.asarray(grey)
            good[place] = self._once("mask", mask[place], (width, height, areas[place])) and self._once(
                "control", control[place], (width, height, keypoints[place].tobytes())
            )
        return good & (_hashes(small) == np.array(hashes))

    def _once(self, name: str, data: bytes | None, told: tuple[object, ...]) -> bool:
        """Whether a mask or control image is sound; the same as in the row before is not decoded again."""
        seen = self._seen.get(name)
        if seen is None or seen[0] != data or seen[1] != told:
            sound = self._mask(data, *told) if name == "mask" else self._control(data, *told)  # type: ignore[arg-type]
            seen = self._seen[name] = (data or b"", told, sound)
        return seen[2]

    def _mask(self, data: bytes | None, width: int, height: int, area: float) -> bool:
        pixels = _decode(data, width, height, _GREY)
        if pixels is None:
            return False
        white = float((pixels == 255).mean())
        return bool(abs(white - area) <= SLACK and white + float((pixels == 0).mean()) == 1)

    def _control(self, data: bytes | None, width: int, height: int, keypoints: bytes) -> bool:
        pixels = _decode(data, width, height, _RGB)
        if pixels is None or self.rules.line_width is None:
            return pixels is not None
        return shows_pose(pixels, np.frombuffer(keypoints, np.float32).reshape(18, 3), self.rules.line_width)


def _text(batch: pa.RecordBatch) -> np.ndarray:
    good = np.ones(batch.num_rows, bool)
    for name in ("source_id", "phash", "source_phash"):
        good &= pc.match_substring_regex(batch.column(name), r"\A[0-9a-f]{16}\z").to_numpy(zero_copy_only=False)
    for name in ("prompt", "subject_prompt", "background_prompt"):
        stripped = pc.utf8_length(pc.utf8_trim_whitespace(batch.column(name)))
        good &= stripped.to_numpy(zero_copy_only=False) > 0
    return good


def _numbers(batch: pa.RecordBatch, rules: Rules) -> np.ndarray:
    good = np.ones(batch.num_rows, bool)
    for name, lowest in (
        *((name, 0.0) for name in ("pose_score", "mask_score", "mask_area", "subject_kept")),
        *((name, -1.0) for name in ("clip_t_subject", "clip_t_background")),
    ):
        low, high = rules.limits.get(name, (None, None))
        values = batch.column(name).to_numpy(zero_copy_only=False).astype(np.float64)
        least = lowest if low is None else max(low, lowest)
        most = 1.0 if high is None else min(high, 1.0)
        good &= (values >= least - SLACK) & (values <= most + SLACK)  # NaN fails both
    for name in ("subject_seed", "background_seed", "attempt"):
        good &= batch.column(name).to_numpy(zero_copy_only=False) >= 0
    return good


def _keypoints(points: np.ndarray) -> np.ndarray:
    x, y, confidence = points[..., 0], points[..., 1], points[..., 2]
    there = (confidence > 0) & (confidence <= 1) & (x >= 0) & (x <= 1) & (y >= 0) & (y <= 1)
    missing = (confidence == 0) & (x == 0) & (y == 0)
    return np.asarray((there | missing).all(axis=1))


def _hashes(small: np.ndarray) -> np.ndarray:
    """Perceptual hashes of pictures ``[N, 32, 32]``, as imagehash makes them."""
    low = _COSINES @ small @ _COSINES.T
    bits = low > np.median(low, axis=(1, 2), keepdims=True)
    text = np.packbits(bits.reshape(len(small), -1), axis=1).tobytes().hex()
    return np.array([text[at : at + 16] for at in range(0, len(text), 16)], "<U16")


def _decode(data: bytes | None, width: int, height: int, colour: int) -> np.ndarray | None:
    """Pixels ``[height, width(, 3)]`` of a PNG of 8 bits whose checksums hold; None: not so, or not that size."""
    import cv2

    if not data or not _sound_png(data, width, height, colour):
        return None
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.ndim != (3 if colour == _RGB else 2):
        return None
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB) if colour == _RGB else pixels


def _sound_png(data: bytes, width: int, height: int, colour: int) -> bool:
    if width <= 0 or height <= 0:
        return False
    due = b"IHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, colour, 0, 0, 0])
    if data[:8] != _SIGNATURE or data[12:29] != due:
        return False
    at, kind = 8, b""
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        end = at + 8 + length
        kind = data[at + 4 : at + 8]
        if end + 4 > len(data) or zlib.crc32(data[at + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            return False
        at = end + 4
    return at == len(data) and kind == b"IEND"
