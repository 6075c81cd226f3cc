"""Fills the caches for a manifest's rows, and hands out what they hold by row."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.models.resolve import Model
from spotdiff_model.config import EncoderConfig, TrainConfig
from spotdiff_model.data import views
from spotdiff_model.data.cache import FeatureCache, batched
from spotdiff_model.data.frozen import Diffusion, as_numpy
from spotdiff_model.data.rows import Rows
from spotdiff_model.data.tower import tower

if TYPE_CHECKING:
    from PIL import Image

_BATCH = 64
_PER_FILE = 256
Progress = Callable[[str, int, int], None]
"""Told what is being computed, how many are done, and of how many."""


@dataclass(frozen=True)
class Features:
    """Frozen features of rows.

    Attributes:
        keypoints: ``[1 + views, N, 18, 3]``: of the rows' pictures, and of their other views.
    """

    rows: Rows
    clip: FeatureCache
    latents: FeatureCache
    prompts: FeatureCache
    keypoints: np.ndarray

    def tokens(self, places: np.ndarray, viewed: np.ndarray) -> np.ndarray:
        """CLIP tokens ``[B, T, layers * C]`` float32; ``viewed`` ``[B]``: 0: the picture itself, k: its k-th view."""
        keys = self.rows.sha256[places]
        return self.clip.get([_key(*one) for one in zip(keys, viewed, strict=True)]).astype(np.float32)

    def latents_of(self, places: np.ndarray) -> np.ndarray:
        """Latents ``[B, 4, h, w]`` float32."""
        return self.latents.get(list(self.rows.sha256[places])).astype(np.float32)

    def prompt_features_of(self, places: np.ndarray) -> np.ndarray:
        """Text features ``[B, D]`` float32 of the rows' prompts."""
        return self.prompts.get([_text_key(text) for text in self.rows.prompt[places]]).astype(np.float32)


def clip_cache(config: TrainConfig, encoder: EncoderConfig) -> FeatureCache:
    """The cache of CLIP tokens for an encoder."""
    clip = Model(encoder.models.clip, config.models_root)
    identity = {"model": clip.identity(), "layers": encoder.layers, "normalised": True, "views": views.VERSION}
    return FeatureCache(config.cache_folder, "clip", identity)


def features(
    rows: Rows, config: TrainConfig, encoder: EncoderConfig, diffusion: Diffusion, progress: Progress
) -> Features:
    """Frozen features of all rows; computes those that no cache holds yet.

    Raises:
        UserError: A picture does not fit its checksum.
    """
    base = Model(encoder.models.base, config.models_root)
    clip = clip_cache(config, encoder)
    latents = FeatureCache(config.cache_folder, "latents", base.identity())
    prompts = FeatureCache(config.cache_folder, "prompts", base.identity())
    network = tower(encoder, config.models_root)
    _fill(clip, rows, lambda images: as_numpy(network.tokens(images)), progress, "CLIP tokens")
    for number in range(1, config.views + 1):
        viewed = f"CLIP tokens of view {number}"
        _fill(clip, rows, lambda images: as_numpy(network.tokens(images)), progress, viewed, number)
    _fill(latents, rows, lambda images: as_numpy(diffusion.latents(images)), progress, "latents")
    _fill_prompts(prompts, rows, diffusion)
    seen = [rows.keypoints]
    for number in range(1, config.views + 1):
        pairs = zip(rows.keypoints, rows.sha256, strict=True)
        seen.append(np.stack([views.view_keypoints(points, sha256, number) for points, sha256 in pairs]))
    return Features(rows, clip, latents, prompts, np.stack(seen))


def _fill(
    cache: FeatureCache,
    rows: Rows,
    compute: Callable[[list[Image.Image]], np.ndarray],
    progress: Progress,
    what: str,
    view: int = 0,
) -> None:
    missing = set(cache.missing(_key(key, view) for key in rows.sha256))
    places = {key: place for place, key in enumerate(rows.sha256) if _key(key, view) in missing}
    keys: list[str] = []
    parts: list[np.ndarray] = []
    done = 0
    for batch in _batches(rows.images(list(places.values()))):
        images = [views.view(i, rows.keypoints[p], rows.sha256[p], view)[0] if view else i for p, i in batch]
        parts.append(compute(images))
        keys += [_key(rows.sha256[place], view) for place, _ in batch]
        done += len(batch)
        progress(what, done, len(places))
        if len(keys) >= _PER_FILE or done == len(places):
            cache.add(keys, np.concatenate(parts))
            keys, parts = [], []


def _fill_prompts(cache: FeatureCache, rows: Rows, diffusion: Diffusion) -> None:
    texts = {_text_key(text): str(text) for text in rows.prompt}
    for keys in batched(cache.missing(texts), 4 * _PER_FILE):
        parts = [as_numpy(diffusion.prompt_features([texts[key] for key in some])) for some in batched(keys, _BATCH)]
        cache.add(keys, np.concatenate(parts))


def _batches(pictures: Iterator[tuple[int, Any]]) -> Iterator[list[tuple[int, Any]]]:
    batch = []
    for picture in pictures:
        batch.append(picture)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _key(sha256: str, view: int) -> str:
    """Of a picture (view 0), or of one of its views."""
    return f"{sha256}+view{view}" if view else str(sha256)


def _text_key(text: str) -> str:
    return hashlib.sha256(str(text).encode()).hexdigest()
