"""Identity attributes of the miniature world, read from pixels by judges that never saw a network's feature.

Colours of shirt and bottom are looked up at the joints (:mod:`tinyworld.judges.colors`), a hat's on its crown.
The kind of hat and the skin are told by trees that were grown on exact renders, from pixels sampled in the frame of the
figure's head. What perfect pictures would score is measured too (``ceilings``). Hair, build and the cut of the clothes
are not judged: at 64 pixels no judge of ours was right in nine of ten perfect pictures.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier

from pipeline.imaging.openpose18 import HEAD, L_EYE, R_EYE
from tinyworld.judges.colors import bottom_color, shirt_color
from tinyworld.world import Render, render_seed
from tinyworld.world.palette import CLOTHING, nearest
from tinyworld.world.skeleton import Skeleton

SEED = 20_500_000
"""Scenes from here on are rendered for the judges; no model of the project was trained on them."""
BY_TREES = ("hat", "skin")
JUDGED = ("shirt_color", "bottom_color", "hat_color", *BY_TREES)
SIDE = 64
"""Of the pictures that the judges can read, pixels."""
_EYES = (R_EYE, L_EYE)


@dataclass(frozen=True)
class PixelJudges:
    """One judge per attribute.

    Attributes:
        trees: By attribute.
        ceilings: By attribute: share that is right on held-out exact renders, what is not visible left out.
    """

    trees: Mapping[str, ExtraTreesClassifier]
    ceilings: Mapping[str, float]

    def read_all(self, images: np.ndarray, keypoints: np.ndarray) -> list[dict[str, str]]:
        """The attributes of N figures, as far as they can be seen.

        Args:
            images: ``[N, 64, 64, 3]`` uint8.
            keypoints: ``[N, 18, 3]``: where the figures are.
        """
        features = np.stack([_feature(image, pose) for image, pose in zip(images, keypoints, strict=True)])
        found: list[dict[str, str]] = [{} for _ in images]
        visible = [row for row, pose in enumerate(keypoints) if _head_visible(pose)]
        for name, trees in self.trees.items() if visible else ():
            for row, value in zip(visible, trees.predict(features[visible]), strict=True):
                found[row][name] = str(value)
        for row in visible:
            worn = found[row]["hat"] != "none"
            found[row]["hat_color"] = crown_color(images[row], keypoints[row]) if worn else "none"
        for row, (image, pose) in enumerate(zip(images, keypoints, strict=True)):
            for name, look in (("shirt_color", shirt_color), ("bottom_color", bottom_color)):
                if (color := look(image, pose)) is not None:
                    found[row][name] = color
        return found


@functools.cache
def grow_judges(scenes: int = 1200, held_out: int = 200, trees: int = 100) -> PixelJudges:
    """Renders scenes and fits the judges; the same ones every time, so once a process: that takes half a minute.

    Args:
        scenes: Renders to learn from.
        held_out: Further renders that the ceilings are measured on.
        trees: Per attribute.
    """
    renders = [render_seed(SEED + i) for i in range(scenes + held_out)]
    features = np.stack([_feature(shot.image, shot.keypoints) for shot in renders[:scenes]])
    rows = [row for row in range(scenes) if _head_visible(renders[row].keypoints)]
    grown = {}
    for name in BY_TREES:
        forest = ExtraTreesClassifier(trees, max_features=0.15, random_state=0, n_jobs=1)
        grown[name] = forest.fit(features[rows], [renders[row].identity.attributes()[name] for row in rows])
    return PixelJudges(grown, _ceilings(PixelJudges(grown, {}), renders[scenes:]))


def _ceilings(judges: PixelJudges, renders: Sequence[Render]) -> dict[str, float]:
    images, keypoints = np.stack([shot.image for shot in renders]), np.stack([shot.keypoints for shot in renders])
    right: dict[str, list[bool]] = {}
    for shot, found in zip(renders, judges.read_all(images, keypoints), strict=True):
        for name, value in found.items():
            right.setdefault(name, []).append(value == shot.identity.attributes()[name])
    return {name: float(np.mean(hits)) for name, hits in sorted(right.items())}


def _head_visible(keypoints: np.ndarray) -> bool:
    """Whether a picture shows enough of the head for hat and skin to be told."""
    seen = keypoints[:, 2] > 0
    return bool(seen[list(HEAD)].sum() >= 3 and keypoints[list(_EYES), 1].max() > 0.05)


def _feature(image: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
    """Colours at 14 x 12 points in the frame of the head, 0..1; and how it is turned."""
    s = Skeleton.measure(keypoints, image.shape[0])
    down, across = np.meshgrid(np.linspace(-0.95, 1.05, 14), np.linspace(-0.75, 0.75, 12), indexing="ij")
    head = s.centre + (across[..., None] * s.head_right + down[..., None] * s.head_down) * s.head
    return np.concatenate([_colors(image, head.reshape(-1, 2)).ravel(), [s.face, s.turn]])


def crown_color(image: np.ndarray, keypoints: np.ndarray) -> str:
    """The commonest nearest clothing colour where a hat has its crown (if there is none: of hair, skin or scenery)."""
    s = Skeleton.measure(keypoints, image.shape[0])
    lift = min(0.0, s.nod + 0.03) if s.face else 0.0
    crown = [(x, y + lift) for y in (-0.55, -0.47) for x in (-0.1, 0.0, 0.1)]
    places = np.array([s.centre + (x * s.head_right + y * s.head_down) * s.head for x, y in crown])
    names = [nearest(tuple(color * 255), names=CLOTHING) for color in _colors(image, places)]
    return max(sorted(set(names)), key=names.count)


def _colors(image: np.ndarray, places: np.ndarray) -> np.ndarray:
    """``[N, 3]`` at places ``[N, 2]`` (x, y in pixels); black outside."""
    x, y = np.floor(places).astype(int).T
    inside = (x >= 0) & (y >= 0) & (x < image.shape[1]) & (y < image.shape[0])
    found: np.ndarray = image[y.clip(0, image.shape[0] - 1), x.clip(0, image.shape[1] - 1)] / 255.0
    return found * inside[:, None]
