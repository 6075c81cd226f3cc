"""What is to be seen in a generated picture: the person's pose and the person's mask, by the profile's own models."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from pipeline.config import Profile
from pipeline.imaging.keypoints import main_person
from pipeline.models.resolve import Model


@dataclass(frozen=True, eq=False)
class Seen:
    """What was found in a picture.

    Attributes:
        pose: ``[18, 3]`` keypoints of the main person, or None: nobody, or several.
        mask: ``[H, W]`` bool, that person; all False where there is none.
    """

    pose: np.ndarray | None
    mask: np.ndarray


@dataclass(frozen=True)
class Observer:
    """Finds people with the pose network and cuts them out with SAM, both of the manifest's profile."""

    profile: Profile
    models_root: str | None = None

    def see(self, image: Image.Image) -> Seen:
        """Looks at one picture."""
        from pipeline.models.extractors import people
        from pipeline.models.segmentation import segment

        pixels = np.asarray(image)
        found = people(Model(self.profile.models.pose, self.models_root), pixels)
        person = main_person(found, self.profile.poses)
        if not isinstance(person, np.ndarray):
            return Seen(None, np.zeros(pixels.shape[:2], bool))
        sam = Model(self.profile.models.sam, self.models_root)
        return Seen(person, segment(sam, pixels, person, self.profile.masks).mask)
