"""The files of a site, in a folder or an object store; what an earlier report left behind goes at the end."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from pipeline import store


class SiteFiles:
    """Writes files below a folder. A report can be made again at any time, so nothing is synced to the disk.

    Attributes:
        folder: A path or URL.
        names: What was written.
        bytes: How much.
    """

    def __init__(self, folder: str) -> None:
        self.folder, self.names, self.bytes = folder.rstrip("/"), set[str](), 0

    def put(self, name: str, data: bytes) -> None:
        """Stores a file; ``name`` is relative and made of names that we chose."""
        url = store.join(self.folder, name)
        if store.is_local(url):
            path = Path(store.filesystem(url)[1])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        else:
            store.write_bytes(url, data)
        self.names.add(name)
        self.bytes += len(data)

    def put_data(self, name: str, value: Any) -> None:
        """Stores a value as a script that hands it to the pages: pages on a disk may fetch nothing."""
        text = json.dumps(finite(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        self.put(f"data/{name}.js", f"SpotDiff.give({json.dumps(name)},{text});\n".encode())

    def sweep(self) -> None:
        """Removes files of earlier reports from the folders that reports write to."""
        for folder in ("data", "data/sources", "sources", "thumbs"):
            self._sweep(folder)
        originals, path = store.filesystem(store.join(self.folder, "originals"))
        if originals.exists(path):
            for below in originals.ls(path, detail=False):
                self._sweep(f"originals/{below.rstrip('/').rsplit('/', 1)[-1]}")

    def _sweep(self, folder: str) -> None:
        here = store.join(self.folder, folder)
        for url in store.list_files(here):
            if f"{folder}/{url.rsplit('/', 1)[-1]}" not in self.names:
                store.remove(url)
        store.remove_empty_folder(here)


def finite(value: Any) -> Any:
    """The value with None for what JSON has no word for (NaN, infinity)."""
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
