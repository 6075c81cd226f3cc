"""Further pictures with keypoints, for the pose expert alone: a COCO-keypoints JSON and the pictures that it names.

A dataset has a few dozen poses, and an expert that has seen no others knows them by heart. Pictures of people with
keypoints are to be had by the ten thousand (COCO; of the miniature world: ``spotdiff world render``); neither subject
nor background nor any caption is read from them.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline import ids
from pipeline.config import UserError
from pipeline.imaging.decode import Refused, read_picture
from pipeline.imaging.frame import frame_of, square
from pipeline.imaging.keypoints import in_frame
from pipeline.inputs.coco import Odd, told
from pipeline.inputs.files import read_file
from pipeline.inputs.pose_file import PoseFile, read_pose_file
from spotdiff_model.data.cache import FeatureCache, batched
from spotdiff_model.hub import VisionEncoder, as_numpy

if TYPE_CHECKING:
    from PIL import Image

    from spotdiff_model.data.features import CacheProgress

logger = logging.getLogger(__name__)
_BATCH, _PER_FILE = 64, 256
_PREPARED = "+square"
"""Of a picture's key: its square is what the vision encoder has seen."""
_NOT_ONE = "picture of nobody or of several people"


@dataclass(frozen=True)
class PosePictures:
    """Frozen features of pictures with known keypoints.

    Attributes:
        tokens: By key.
        keys: ``[M]`` names of the pictures' tokens.
        keypoints: ``[M, 18, 3]`` float32: x, y in 0..1 of the square picture, confidence.
    """

    tokens: FeatureCache
    keys: list[str]
    keypoints: np.ndarray

    def batch(self, seed: int, step: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Tokens ``[size, T, I]`` and keypoints of a step's pictures: a function of seed and step alone."""
        rng = np.random.default_rng(int(ids.digest(["pose pictures", seed, step])[:15], 16))
        chosen = rng.integers(len(self.keys), size=size)
        tokens = self.tokens.get([self.keys[place] for place in chosen]).astype(np.float32)
        return tokens, self.keypoints[chosen]


def read_pose_pictures(path: str, cache: FeatureCache, clip: VisionEncoder, progress: CacheProgress) -> PosePictures:
    """Reads the pictures that show one person with keypoints, and what the vision encoder makes of them.

    Pictures of nobody or of several people, and what cannot be read, are left out and counted in one warning.

    Args:
        path: COCO-keypoints JSON; the pictures lie in ``images/`` beside it, or beside it.
        cache: Of CLIP tokens; what it lacks is computed.
        clip: The frozen vision encoder.
        progress: Told how far that is.

    Raises:
        UserError: Not such a file, or none of its pictures can be used.
    """
    try:
        file = read_pose_file(path)
    except UserError as error:
        raise UserError(f"--pose_pictures: {error}") from error
    beside = Path(path).parent
    folder = beside / "images" if (beside / "images").is_dir() else beside
    names, done = sorted(file.entries), 0
    keys, keypoints = [], []
    left_out: dict[str, list[str]] = defaultdict(list)
    for some in batched(names, _PER_FILE):
        squares = {}
        for name in some:
            try:
                key, points, image = _person(file, folder, name)
            except Odd as odd:
                left_out[str(odd)].append(name)
                continue
            keys.append(key)
            keypoints.append(points)
            if key not in cache:
                squares[key] = square(image, clip.size)[0]
        if squares:
            cache.add(list(squares), _tokens(list(squares.values()), clip))
        done += len(some)
        progress("CLIP tokens of pose pictures", done, len(names))
    why = told(Counter({kind: len(found) for kind, found in left_out.items()}))
    if not keys:
        raise UserError(f"--pose_pictures {path}: none of its pictures shows one person with keypoints; {why}")
    if left_out:
        logger.warning("--pose_pictures %s: %s, e.g. %s", path, why, next(iter(left_out.values()))[0])
    return PosePictures(cache, keys, np.stack(keypoints))


def _person(file: PoseFile, folder: Path, name: str) -> tuple[str, np.ndarray, Image.Image]:
    """Key, keypoints and picture of an entry with exactly one person.

    Raises:
        Odd: Another entry, or its picture cannot be read.
    """
    entries = file.entries[name]
    if (broken := file.broken(name)) is not None:
        raise Odd(broken)
    if not any(entry.people for entry in entries) or any(entry.others for entry in entries):
        raise Odd(_NOT_ONE)
    place = (folder / name).resolve()
    if not place.is_relative_to(folder.resolve()):
        raise Odd("file_name that leads out of the folder")
    try:
        data = read_file(str(place))
        picture = read_picture(data)
    except OSError as error:
        raise Odd(error.strerror or str(error)) from error
    except Refused as refused:
        raise Odd(str(refused.reason)) from refused
    size = picture.image.size
    people = file.poses(name, *size, picture.orientation)
    if len(people) != 1 or not people[0][:, 2].any():
        raise Odd(_NOT_ONE)
    points = in_frame(people[0], frame_of(*size)).astype(np.float32)
    return f"{hashlib.sha256(data).hexdigest()}{_PREPARED}", points, picture.image


def _tokens(squares: Sequence[Image.Image], clip: VisionEncoder) -> np.ndarray:
    batches = [squares[start : start + _BATCH] for start in range(0, len(squares), _BATCH)]
    return np.concatenate([as_numpy(clip.tokens(list(batch))) for batch in batches])
