"""Further pictures with keypoints, for the pose expert alone: a COCO-keypoints JSON and the pictures that it names.

A dataset has a few dozen poses, and an expert that has seen no others knows them by heart. Pictures of people with
keypoints are to be had by the ten thousand (COCO; of the miniature world: ``spotdiff world render``); neither subject
nor background nor any caption is read from them.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline import ids
from pipeline.config import UserError
from pipeline.imaging.frame import frame_of, square
from pipeline.imaging.keypoints import in_frame, openpose_from_coco
from spotdiff_model.data.cache import FeatureCache, batched
from spotdiff_model.hub import VisionEncoder, as_numpy

if TYPE_CHECKING:
    from PIL import Image

    from spotdiff_model.data.features import CacheProgress

_BATCH, _PER_FILE = 64, 256
_PREPARED = "+square"
"""Of a picture's key: its square is what the vision encoder has seen."""


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

    Args:
        path: COCO-keypoints JSON; the pictures lie in ``images/`` beside it, or beside it.
        cache: Of CLIP tokens; what it lacks is computed.
        clip: The frozen vision encoder.
        progress: Told how far that is.

    Raises:
        UserError: Not such a file, nobody in it, or a picture that is not there or not readable.
    """
    annotated = _annotated(path)
    keys, keypoints = [], []
    waiting: dict[str, Path] = {}
    for picture, points in annotated:
        data = _bytes(path, picture)
        width, height = _opened(path, picture, data).size
        key = f"{hashlib.sha256(data).hexdigest()}{_PREPARED}"
        keys.append(key)
        keypoints.append(in_frame(openpose_from_coco(points), frame_of(width, height)).astype(np.float32))
        waiting[key] = picture
    _fill(path, cache, {key: waiting[key] for key in cache.missing(keys)}, clip, progress)
    return PosePictures(cache, keys, np.stack(keypoints))


def _annotated(path: str) -> list[tuple[Path, np.ndarray]]:
    """Pictures with one person each, and the person's ``[17, 3]``; pixels."""
    file = Path(path)
    try:
        data = json.loads(file.read_text("utf-8"))
        names = {image["id"]: str(image["file_name"]) for image in data["images"]}
        people: dict[Any, list[Any]] = defaultdict(list)
        for entry in data["annotations"]:
            people[entry["image_id"]].append(entry.get("keypoints") or [])
        alone = {names[image]: np.asarray(found[0], float) for image, found in people.items() if len(found) == 1}
    except OSError as error:
        raise UserError(f"--pose_pictures {path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"--pose_pictures {path}: not a COCO-keypoints JSON ({type(error).__name__}: {error})"
        ) from error
    whole = {name: points.reshape(17, 3) for name, points in alone.items() if points.size == 51 and points[2::3].any()}
    if not whole:
        raise UserError(f"--pose_pictures {path}: none of its pictures shows one person with 17 keypoints")
    folder = file.parent / "images" if (file.parent / "images").is_dir() else file.parent
    return [(_inside(path, folder, name), points) for name, points in sorted(whole.items())]


def _inside(path: str, folder: Path, name: str) -> Path:
    found = (folder / name).resolve()
    if not found.is_relative_to(folder.resolve()):
        raise UserError(f"--pose_pictures {path}: file_name {name!r} leads out of {folder}")
    return found


def _bytes(path: str, picture: Path) -> bytes:
    try:
        return picture.read_bytes()
    except OSError as error:
        raise UserError(f"--pose_pictures {path}: {picture}: {error.strerror or error}") from error


def _opened(path: str, picture: Path, data: bytes) -> Image.Image:
    from PIL import Image

    try:
        return Image.open(io.BytesIO(data))
    except (OSError, ValueError) as error:
        raise UserError(f"--pose_pictures {path}: {picture}: not a readable picture ({error})") from error


def _fill(
    path: str, cache: FeatureCache, missing: dict[str, Path], clip: VisionEncoder, progress: CacheProgress
) -> None:
    done = 0
    for some in batched(list(missing), _PER_FILE):
        parts = []
        for keys in batched(some, _BATCH):
            parts.append(as_numpy(clip.tokens(list(_squares(path, [missing[key] for key in keys], clip)))))
            done += len(keys)
            progress("CLIP tokens of pose pictures", done, len(missing))
        cache.add(some, np.concatenate(parts))


def _squares(path: str, pictures: list[Path], clip: VisionEncoder) -> Iterator[Image.Image]:
    for picture in pictures:
        try:
            yield square(_opened(path, picture, _bytes(path, picture)).convert("RGB"), clip.size)[0]
        except (OSError, ValueError) as error:  # cut off in the middle
            raise UserError(f"--pose_pictures {path}: {picture}: not a readable picture ({error})") from error
