"""Pictures between steps: rows carry them as PNG, and no step decodes one that another has decoded or made."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image

from pipeline import process
from pipeline.imaging.png import from_png, to_png
from pipeline.models.resident import LRUCache, shared_instance

_KEPT = 96  # 75 MB at 512 px
_WORTH_A_THREAD = 256 * 256  # pixels of a picture; a smaller one is encoded before a thread is awake
_pixels: LRUCache[np.ndarray] = LRUCache(_KEPT)


def pixels(png: bytes | None) -> np.ndarray:
    """``[H, W, 3]`` or (a mask) ``[H, W]`` uint8, read-only."""
    assert png is not None
    return _pixels.get(png, lambda: _fixed(np.array(from_png(png))))


def mask(png: bytes | None) -> np.ndarray:
    """``[H, W]`` bool."""
    return pixels(png) > 127


def encode(pictures: Sequence[np.ndarray]) -> list[bytes]:
    """The pictures (uint8) as PNG; large ones side by side in threads, for zlib lets go of Python."""
    if len(pictures) > 1 and pictures[0].shape[0] * pictures[0].shape[1] >= _WORTH_A_THREAD:
        made = list(_threads().map(_encode, pictures))
    else:
        made = [_encode(picture) for picture in pictures]
    for png, picture in zip(made, pictures, strict=True):
        _pixels.get(png, lambda picture=picture: _fixed(picture))  # type: ignore[misc]
    return made


def _encode(picture: np.ndarray) -> bytes:
    return to_png(Image.fromarray(picture))


def _fixed(picture: np.ndarray) -> np.ndarray:
    picture.setflags(write=False)
    return picture


def _threads() -> ThreadPoolExecutor:
    count = min(8, process.cores())
    return shared_instance("png threads", lambda: ThreadPoolExecutor(count, thread_name_prefix="png"))
