"""Reads poses that come with the sources: a COCO-keypoints JSON."""

from __future__ import annotations

import functools
import hashlib
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from pipeline.config import UserError
from pipeline.imaging.keypoints import oks
from pipeline.imaging.turn import turned
from pipeline.inputs.coco import AnnotatedImage, parse, pictures, told
from pipeline.inputs.files import read_file, read_text, warn_once

_SAME_PERSON = 0.8
"""Object keypoint similarity from which two people of two entries of one picture are one."""
_SWAPPED = (5, 6, 7, 8)
"""EXIF orientations that change width for height."""


@dataclass(frozen=True)
class PoseFile:
    """A COCO-keypoints JSON, by picture.

    Attributes:
        path: Where it is.
        entries: What it says of each picture, by file name as it writes it; more than one entry where the picture was
            entered twice.
        left_out: How many of its entries could not be used, by kind.
    """

    path: str
    entries: dict[str, list[AnnotatedImage]]
    left_out: Counter[str] = field(default_factory=Counter)

    def poses(self, name: str, width: int, height: int, orientation: int = 1) -> list[np.ndarray]:
        """The people of a picture, in pixels of its ``width`` x ``height``.

        Args:
            name: Of its entry, as the file writes it.
            width, height: Of the picture as it is seen, turned.
            orientation: EXIF's, 1 to 8: how the picture was turned.
        """
        people: list[np.ndarray] = []
        for entry in self.entries.get(name, []):
            mapped = [self._mapped(pose, entry, width, height, orientation) for pose in entry.people]
            people += [pose for pose in mapped if not any(oks(pose, other) > _SAME_PERSON for other in people)]
        return people

    def broken(self, name: str) -> str | None:
        """Why a picture's entry must not be used; None: it may."""
        return next((entry.broken for entry in self.entries.get(name, []) if entry.broken), None)

    def _mapped(self, pose: np.ndarray, entry: AnnotatedImage, width: int, height: int, orientation: int) -> np.ndarray:
        stated_width, stated_height = entry.width or width, entry.height or height
        if orientation in _SWAPPED and _swapped(stated_width, stated_height, width, height):
            farthest = pose[:, :2].max(axis=0)
            if (farthest <= (stated_width, stated_height)).all():
                warn_once(
                    f"poses: {self.path} has pictures as they are before EXIF turns them; their poses are turned too"
                )
                scale = (height / stated_width, width / stated_height, 1.0)
                return turned(pose * scale, height, width, orientation)
            stated_width, stated_height = stated_height, stated_width  # of the unturned picture, its people turned
        return pose * (width / stated_width, height / stated_height, 1.0)


def read_pose_file(path: str, digest: str | None = None) -> PoseFile:
    """Reads a COCO-keypoints JSON (``images``, ``annotations`` with 17 keypoints each; crowds are left out).

    What cannot be used is left out, and told in one warning.

    Args:
        path: Local or a URL.
        digest: :func:`pose_file_digest`, where it is known. A file of the same digest is parsed once.

    Raises:
        UserError: No such file, not JSON, or not this layout.
    """
    return _parsed(path, digest or pose_file_digest(path))


def pose_file_digest(path: str) -> str:
    """sha256 of a pose file, 64 hex.

    Raises:
        UserError: No such file.
    """
    try:
        return hashlib.sha256(read_file(path)).hexdigest()
    except OSError as error:
        raise UserError(f"poses: {path}: {error.strerror or error}") from error


@functools.lru_cache(maxsize=4)
def _parsed(path: str, digest: str) -> PoseFile:
    text = read_text(path, "poses")
    try:
        entries, left_out = pictures(parse(text))
    except (ValueError, MemoryError) as error:
        raise UserError(
            f"poses: {path}: not a COCO-keypoints JSON (images, annotations with 17 keypoints each): {error}"
        ) from error
    if left_out:
        warn_once(f"poses: {path}: {told(left_out)}")
    return PoseFile(path, entries, left_out)


def _swapped(stated_width: float, stated_height: float, width: int, height: int) -> bool:
    """Whether the stated sides are those of a picture lying on its side, up to the rounding of a resized one's."""
    off = abs(stated_width * width - stated_height * height)
    return off < abs(stated_width * height - stated_height * width) and off <= 0.02 * stated_width * width
