"""Reads poses that come with the sources: a COCO-keypoints JSON."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from pipeline.config import UserError
from pipeline.imaging.keypoints import openpose_from_coco


@dataclass(frozen=True)
class PoseFile:
    """A COCO-keypoints JSON, by picture.

    Attributes:
        people: For each file name, the people in it: ``[18, 3]``, pixels of a picture of ``sizes``.
        sizes: For each file name, (width, height) as the file states them; (0, 0) where it does not.
    """

    people: dict[str, list[np.ndarray]]
    sizes: dict[str, tuple[int, int]]

    def poses(self, path: str, width: int, height: int) -> list[np.ndarray]:
        """The people of a picture, in pixels of its ``width`` x ``height``.

        The picture is found by its path as listed, else by its bare file name.
        """
        name = path if path in self.people else PurePosixPath(path).name
        stated_width, stated_height = self.sizes.get(name, (0, 0))
        scale = (width / (stated_width or width), height / (stated_height or height), 1.0)
        return [pose * scale for pose in self.people.get(name, [])]


def read_pose_file(path: str) -> PoseFile:
    """Reads a COCO-keypoints JSON (``images``, ``annotations`` with 17 keypoints each; crowds are left out).

    Raises:
        UserError: No such file, not JSON, or not this layout.
    """
    try:
        data = json.loads(Path(path).read_text("utf-8"))
        names = {image["id"]: image["file_name"] for image in data["images"]}
        sizes = {i["file_name"]: (int(i.get("width", 0)), int(i.get("height", 0))) for i in data["images"]}
        people: dict[str, list[np.ndarray]] = defaultdict(list)
        for annotation in data["annotations"]:
            if not annotation.get("iscrowd"):
                points = np.array(annotation["keypoints"], np.float64).reshape(17, 3)
                people[names[annotation["image_id"]]].append(openpose_from_coco(points))
    except OSError as error:
        raise UserError(f"poses: {path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"poses: {path}: not a COCO-keypoints JSON (images, annotations with 17 keypoints each): "
            f"{type(error).__name__}: {error}"
        ) from error
    return PoseFile(dict(people), sizes)
