"""Fills the caches for a manifest's rows, and hands out what they hold by row."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.models.resolve import Model
from spotdiff_model.config import EncoderConfig, TrainConfig
from spotdiff_model.data.augmentations import VERSION, augment, augment_keypoints
from spotdiff_model.data.cache import FeatureCache, batched
from spotdiff_model.data.rows import Rows
from spotdiff_model.hub import Diffusion, as_numpy, vision_encoder

if TYPE_CHECKING:
    from PIL import Image

_BATCH = 64
_PER_FILE = 256
CacheProgress = Callable[[str, int, int], None]
"""Told what is being computed, how many are done, and of how many."""


@dataclass(frozen=True)
class FrozenFeatures:
    """Frozen features of rows.

    Attributes:
        keypoints: ``[1 + augmentations, N, 18, 3]``: of the rows' pictures, and of their augmentations.
    """

    rows: Rows
    clip: FeatureCache
    latents: FeatureCache
    prompts: FeatureCache
    keypoints: np.ndarray

    def tokens(self, places: np.ndarray, augmentations: np.ndarray) -> np.ndarray:
        """CLIP tokens ``[B, T, layers * C]`` float32; ``augmentations`` ``[B]``: 0: the picture itself, k: its k-th."""
        keys = self.rows.sha256[places]
        return self.clip.get([_key(*picture) for picture in zip(keys, augmentations, strict=True)]).astype(np.float32)

    def latents_of(self, places: np.ndarray) -> np.ndarray:
        """Latents ``[B, 4, h, w]`` float32."""
        return self.latents.get(list(self.rows.sha256[places])).astype(np.float32)

    def prompt_features_of(self, places: np.ndarray) -> np.ndarray:
        """Text features ``[B, D]`` float32 of the rows' prompts."""
        return self.prompts.get([_text_key(text) for text in self.rows.prompt[places]]).astype(np.float32)


def clip_cache(config: TrainConfig, encoder: EncoderConfig) -> FeatureCache:
    """The cache of CLIP tokens for an encoder."""
    clip = Model(encoder.models.clip, config.models_root)
    identity = {"model": clip.identity(), "layers": encoder.layers, "normalised": True, "views": VERSION}
    return FeatureCache(config.cache_folder, "clip", identity)


def freeze(
    rows: Rows, config: TrainConfig, encoder: EncoderConfig, diffusion: Diffusion, progress: CacheProgress
) -> FrozenFeatures:
    """Frozen features of all rows; computes those that no cache holds yet.

    Raises:
        UserError: A picture does not fit its checksum.
    """
    base = Model(encoder.models.base, config.models_root)
    clip = clip_cache(config, encoder)
    vae = encoder.models.vae
    other = {"vae": Model(vae, config.models_root).identity()} if vae else {}
    latents = FeatureCache(config.cache_folder, "latents", {**base.identity(), **other})
    prompts = FeatureCache(config.cache_folder, "prompts", base.identity())
    network = vision_encoder(encoder, config.models_root)
    _fill(clip, rows, lambda images: as_numpy(network.tokens(images)), progress, "CLIP tokens")
    for number in range(1, config.augmentations + 1):
        what = f"CLIP tokens of augmentation {number}"
        _fill(clip, rows, lambda images: as_numpy(network.tokens(images)), progress, what, number)
    _fill(latents, rows, lambda images: as_numpy(diffusion.latents(images)), progress, "latents")
    _fill_prompts(prompts, rows, diffusion)
    keypoints = [rows.keypoints]
    for number in range(1, config.augmentations + 1):
        pairs = zip(rows.keypoints, rows.sha256, strict=True)
        keypoints.append(np.stack([augment_keypoints(points, sha256, number) for points, sha256 in pairs]))
    return FrozenFeatures(rows, clip, latents, prompts, np.stack(keypoints))


def _fill(
    cache: FeatureCache,
    rows: Rows,
    compute: Callable[[list[Image.Image]], np.ndarray],
    progress: CacheProgress,
    what: str,
    augmentation: int = 0,
) -> None:
    missing = set(cache.missing(_key(sha256, augmentation) for sha256 in rows.sha256))
    places = {sha: place for place, sha in enumerate(rows.sha256) if _key(sha, augmentation) in missing}
    keys: list[str] = []
    parts: list[np.ndarray] = []
    done = 0
    for batch in _batches(rows.images(list(places.values()))):
        images = [
            augment(image, rows.keypoints[place], rows.sha256[place], augmentation)[0] if augmentation else image
            for place, image in batch
        ]
        parts.append(compute(images))
        keys += [_key(rows.sha256[place], augmentation) for place, _ in batch]
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


def _key(sha256: str, augmentation: int) -> str:
    """Of a picture (0), or of one of its augmentations; as in the caches that there are."""
    return f"{sha256}+view{augmentation}" if augmentation else str(sha256)


def _text_key(text: str) -> str:
    return hashlib.sha256(str(text).encode()).hexdigest()
