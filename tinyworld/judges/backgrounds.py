"""Tells the kind of a generated picture's background from its pixels alone."""

from __future__ import annotations

import numpy as np
from skimage.feature import hog
from sklearn.ensemble import ExtraTreesClassifier

from tinyworld.training.augment import degrade
from tinyworld.training.renders import Renders
from tinyworld.world.render import sample_scene


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
