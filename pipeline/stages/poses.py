"""Stage ``poses``: the pose of each source's main person, as data and as a control image."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pipeline import ids
from pipeline.config import PoseSettings, Splits
from pipeline.imaging.decode import Refused
from pipeline.imaging.keypoints import in_frame, main_person
from pipeline.imaging.photo import looks_like_photo
from pipeline.imaging.png import from_png, to_png
from pipeline.imaging.skeleton import draw_pose
from pipeline.inputs.pose_file import PoseFile, pose_file_digest, read_pose_file
from pipeline.models.resolve import Model
from pipeline.records import Posed, Reason, Source
from pipeline.stages.base import guarded

logger = logging.getLogger(__name__)
_warned = threading.Event()


@dataclass(frozen=True)
class FindPoses:
    """Takes poses from a file, or asks the profile's extractor.

    Attributes:
        poses: How a person must look to count, and how poses are drawn.
        size: Side of the control image, pixels.
        extractor: The pose model; not asked where there is a file.
        file: COCO-keypoints JSON, or None.
        splits, seed: Decide which split a source belongs to.
    """

    poses: PoseSettings
    size: int
    extractor: Model
    file: str | None
    splits: Splits
    seed: int

    name: ClassVar[str] = "poses"
    version: ClassVar[int] = 2
    row: ClassVar[type[Posed]] = Posed

    def expand(self, rows: Sequence[Source]) -> list[Posed]:
        return [row.grow(Posed, split=ids.split_of(row.source_id, self.seed, self.splits)) for row in rows]

    def process(self, rows: Sequence[Posed]) -> Iterator[Posed]:
        for row in rows:
            yield from guarded([row], lambda batch: [self._pose(batch[0])])

    def settings(self) -> dict[str, Any]:
        return {
            "poses": self.poses.model_dump(),
            "size": self.size,
            "from": self._file_digest if self.file else self.extractor.identity(),
            "splits": self.splits.model_dump(),
            "seed": self.seed,
        }

    def _pose(self, row: Posed) -> Posed:
        try:
            pose = main_person(self._people(row), self.poses)
        except Refused as refused:
            return row.reject(refused.reason, refused.detail)
        if isinstance(pose, Reason):
            return row.reject(pose)
        keypoints = pose.astype(np.float32).tolist()
        control = draw_pose(pose, self.size, self.poses.line_width)
        return row.grow(
            Posed, pose_id=ids.pose_id(row.source_id, keypoints), keypoints=keypoints, control=to_png(control)
        )

    def _people(self, row: Posed) -> list[np.ndarray]:
        if self.file:
            return self._people_of_file(row, read_pose_file(self.file, self._file_digest))
        from pipeline.models.extractors import people

        assert row.source_image is not None
        image = np.asarray(from_png(row.source_image))
        if self.extractor.ref.kind == "tiny" and looks_like_photo(image):
            _warn_of_photos(row.path)
        return [_off_the_padding(pose, row) for pose in people(self.extractor, image)]

    def _people_of_file(self, row: Posed, poses: PoseFile) -> list[np.ndarray]:
        name = row.pose_entry
        if name is None or name not in poses.entries:
            raise Refused(Reason.NOT_IN_POSE_FILE, "the pose file has no entry for it")
        if broken := poses.broken(name):
            raise Refused(Reason.BAD_POSE_ENTRY, broken)
        found = poses.poses(name, row.source_width, row.source_height, row.source_orientation)
        return [in_frame(pose, row.frame) for pose in found]

    @functools.cached_property
    def _file_digest(self) -> str:
        """Of the file as it is when the stage is first asked: the build goes by that."""
        assert self.file is not None
        return pose_file_digest(self.file)


def _off_the_padding(pose: np.ndarray, row: Posed) -> np.ndarray:
    """Without the joints that an extractor puts where the square has padding and the original ends."""
    x0, y0, side = row.frame
    x, y = pose[:, 0] * side + x0, pose[:, 1] * side + y0
    outside = (x < 0) | (x > row.source_width) | (y < 0) | (y > row.source_height)
    return np.where(outside[:, None], 0.0, pose)


def _warn_of_photos(path: str) -> None:
    """Once a process: a folder of photographs must not fill the screen."""
    if not _warned.is_set():
        _warned.set()
        logger.warning(
            "%s looks like a photo, and this profile's extractor knows drawn figures only: take --profile photos, "
            "or give the poses by --poses",
            path,
        )
