"""Frozen features on disk, named by what they were made from, so that nothing is computed twice and nothing is stale.

A cache is a folder of safetensors files, each with some hundred features and their keys; the folder's name holds the
digest of the model's content and of the preprocessing. Files are written under a temporary name and renamed, and one
that does not have the length that its header says is dropped. Features are read through memory maps; those of an object
store from copies in the machine's temporary folder.
"""

from __future__ import annotations

import json
import logging
import struct
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from pipeline import ids, store

logger = logging.getLogger(__name__)
_NAME = "features"
_DTYPES: dict[str, Any] = {"F16": np.dtype("<f2"), "F32": np.dtype("<f4")}


class FeatureCache:
    """Features by key.

    Attributes:
        folder: Where the files are, a folder or URL.
    """

    def __init__(self, root: Path | str, kind: str, identity: Any) -> None:
        """Opens a cache, or begins one.

        Args:
            root: The folder of all caches.
            kind: What the features are, e.g. ``clip``.
            identity: JSON-able; all that the features depend on besides the key.
        """
        self.folder = store.join(str(root), f"{kind}-{ids.digest([kind, identity])[:16]}")
        self._copies: tempfile.TemporaryDirectory[str] | None = None
        self._files: list[np.ndarray] = []
        self._places: dict[str, tuple[int, int]] = {}
        store.remove_stray(self.folder)
        for path in store.list_files(self.folder, ".safetensors"):
            self._open(path)

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def missing(self, keys: Iterable[str]) -> list[str]:
        """The keys that are not there yet, each once, in order."""
        return [key for key in dict.fromkeys(keys) if key not in self._places]

    def add(self, keys: Sequence[str], features: np.ndarray) -> None:
        """Writes features ``[len(keys), ...]`` (float16 or float32) as one file."""
        data = save({_NAME: np.ascontiguousarray(features)}, metadata={"keys": json.dumps(list(keys))})
        path = store.join(self.folder, f"{ids.digest(sorted(keys))[:24]}.safetensors")
        store.write_bytes(path, data)
        self._open(path)

    def get(self, keys: Sequence[str]) -> np.ndarray:
        """Features ``[len(keys), ...]`` in the order of the keys.

        Raises:
            KeyError: One is not there.
        """
        places = [self._places[key] for key in keys]
        return np.stack([self._files[file][row] for file, row in places])

    def _open(self, path: str) -> None:
        try:
            keys, features = _read(self._here(path))
        except (FileNotFoundError, ValueError, KeyError, RecursionError, struct.error) as error:
            logger.warning("%s: not whole (%s); its features are computed again", path, error)
            store.remove(path)
            return
        self._files.append(features)
        for row, key in enumerate(keys):
            self._places.setdefault(key, (len(self._files) - 1, row))

    def _here(self, path: str) -> Path:
        """The file on this machine: itself, or a copy that lives as long as this cache."""
        fs, place = store.filesystem(path)
        if store.is_local(path):
            return Path(place)
        self._copies = self._copies or tempfile.TemporaryDirectory(prefix="spotdiff-features-")
        copy = Path(self._copies.name) / path.rpartition("/")[2]
        fs.get_file(place, str(copy))
        return copy


def _read(path: Path) -> tuple[list[str], np.ndarray]:
    """A file's keys and its features as a memory map."""
    size = path.stat().st_size
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > size:
            raise ValueError("no header")
        header: dict[str, Any] = json.loads(file.read(length))
    entry, keys = header[_NAME], json.loads(header["__metadata__"]["keys"])
    shape, start = tuple(entry["shape"]), 8 + length
    if start + entry["data_offsets"][1] != size or shape[0] != len(keys):
        raise ValueError(f"{size} bytes are not what its header says")
    return keys, np.memmap(path, dtype=_DTYPES[entry["dtype"]], mode="r", offset=start, shape=shape)


def batched(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """Consecutive pieces of at most ``size`` items."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
