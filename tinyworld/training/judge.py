"""Judges generated pictures by their pixels alone, independently of every network of the pipeline."""

from __future__ import annotations

import numpy as np
from skimage.feature import hog
from sklearn.ensemble import ExtraTreesClassifier

from tinyworld.training.augment import degrade
from tinyworld.training.renders import Renders
from tinyworld.world.palette import CLOTHING, nearest
from tinyworld.world.render import sample_scene

_SIDE = 64
_R_SHOULDER, _R_ELBOW, _L_SHOULDER, _L_ELBOW = 2, 3, 5, 6
_R_HIP, _R_KNEE, _L_HIP, _L_KNEE = 8, 9, 11, 12
_ARMS = ((2, 3), (5, 6), (3, 4), (6, 7))
_ARM_REACH = 0.06
"""Points of other limbs nearer than this to an arm may be covered by it (image sides)."""
_SHORT = 0.08
"""A limb seen shorter than this is foreshortened: what it wears may be hidden."""


class BackgroundJudge:
    """Tells a background's kind from what is visible of it; trained on renders when made, crisp ones and blurred ones:
    a generated green wall has soft shades that no drawn one has, and is no forest for it.
    """

    def __init__(self, renders: Renders) -> None:
        kinds = [sample_scene(renders.first_seed + i).background.kind for i in range(len(renders))]
        self._trees = ExtraTreesClassifier(400, random_state=0, n_jobs=1, max_features=0.1)
        soft = degrade(renders.images, np.random.default_rng(0))
        features = [_features(images, renders.masks) for images in (renders.images, soft)]
        self._trees.fit(np.concatenate(features), kinds * 2)

    def kinds(self, images: np.ndarray, masks: np.ndarray) -> np.ndarray:
        """Kinds [N] of images uint8 [N, 64, 64, 3] whose figures are masks bool [N, 64, 64]."""
        found: np.ndarray = self._trees.predict(_features(images, masks))
        return found


def _features(images: np.ndarray, masks: np.ndarray) -> np.ndarray:
    return np.stack([_feature(image, mask) for image, mask in zip(images, masks, strict=True)])


def _feature(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Colours on an 8 x 8 grid, the figure filled in with the surroundings' mean; edges on a 4 x 4 grid; histograms."""
    visible = image[~mask].astype(np.float32)
    fill = visible.mean(axis=0) if len(visible) else np.zeros(3, np.float32)
    filled = np.where(mask[..., None], fill, image).astype(np.float32)
    coarse = filled.reshape(8, 8, 8, 8, 3).mean(axis=(1, 3))
    spread = filled.reshape(8, 8, 8, 8, 3).std(axis=(1, 3)).mean(axis=-1)
    edges = hog(filled, orientations=8, pixels_per_cell=(16, 16), cells_per_block=(1, 1), channel_axis=-1)
    levels = np.concatenate([np.histogram(visible[:, c], 8, (0, 256), density=True)[0] for c in range(3)])
    distinct = len(np.unique((visible // 32).astype(np.uint8), axis=0))
    rows, columns = filled.std(axis=1).mean(axis=-1), filled.std(axis=0).mean(axis=-1)
    return np.concatenate([coarse.ravel(), spread.ravel(), edges, levels * 1000, [distinct], rows[::4], columns[::4]])


def shirt_color(image: np.ndarray, keypoints: np.ndarray) -> str | None:
    """The nearest clothing colour at the middle of the upper arms (sleeves are never patterned); None: not visible."""
    return _color_between(image, keypoints, [(_R_SHOULDER, _R_ELBOW), (_L_SHOULDER, _L_ELBOW)], (0.35, 0.5, 0.65))


def bottom_color(image: np.ndarray, keypoints: np.ndarray) -> str | None:
    """The nearest clothing colour on the middle of the thighs; None: not visible."""
    return _color_between(image, keypoints, [(_R_HIP, _R_KNEE), (_L_HIP, _L_KNEE)], (0.45, 0.55, 0.65))


def _color_between(
    image: np.ndarray, keypoints: np.ndarray, limbs: list[tuple[int, int]], places: tuple[float, ...]
) -> str | None:
    """The commonest nearest palette colour over points along the limbs, leaving out points that an arm may cover."""
    names = []
    for a, b in limbs:
        length = np.linalg.norm(keypoints[a, :2] - keypoints[b, :2])
        if min(keypoints[a, 2], keypoints[b, 2]) <= 0 or length < _SHORT:
            continue
        for place in places:
            point = (1 - place) * keypoints[a, :2] + place * keypoints[b, :2]
            if any(_distance(point, keypoints[list(arm)]) < _ARM_REACH for arm in _ARMS if a not in arm):
                continue
            x, y = np.minimum((point * _SIDE).astype(int), _SIDE - 1)
            names.append(nearest(tuple(image[y, x].astype(float)), names=CLOTHING))
    return max(sorted(set(names)), key=names.count) if names else None


def _distance(point: np.ndarray, ends: np.ndarray) -> float:
    """From a point to a limb, in image sides; infinite where the limb is not in the picture."""
    if ends[:, 2].min() <= 0:
        return float("inf")
    along = ends[1, :2] - ends[0, :2]
    t = np.clip(np.dot(point - ends[0, :2], along) / max(np.dot(along, along), 1e-9), 0, 1.3)  # 1.3: the hand
    return float(np.linalg.norm(point - ends[0, :2] - t * along))
