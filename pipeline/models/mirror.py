"""Models that lie in an object store: copied to this machine once, and again where they have changed there."""

from __future__ import annotations

import functools
import json
import shutil
from pathlib import Path, PurePosixPath

from pipeline import ids, store
from pipeline.errors import UserError


@functools.cache
def mirrored(url: str, cache: Path) -> Path | None:
    """A copy of a folder of an object store on this machine; looked at once a process.

    Several processes may copy at the same time: each file is put in its place as a whole.

    Args:
        url: Of the folder.
        cache: Where copies are kept, each folder's under a name of its own.

    Returns:
        The copy; None: there is nothing under that URL.
    """
    fs, path = store.filesystem(url)
    there = {name: info for name, info in fs.find(path, detail=True).items() if info["type"] == "file"}
    if not there:
        return None
    folder = cache / ids.digest(["mirror", url])[:16]
    told = folder.with_suffix(".json")
    try:
        known = json.loads(told.read_text("utf-8"))
    except (OSError, ValueError):
        known = {}
    stamps = {}
    for name, info in there.items():
        inner = PurePosixPath(name[len(path) :].lstrip("/"))
        if ".." in inner.parts:
            raise UserError(f"--models-root: {name}: a name that leads out of its folder")
        target = folder / inner
        stamps[str(inner)] = f"{info['size']}-{info.get('ETag')}"
        if known.get(str(inner)) != stamps[str(inner)] or not target.is_file():
            with store.open_input(f"{url.split('://')[0]}://{name}") as source, store.atomic(str(target)) as copy:
                shutil.copyfileobj(source, copy, 8 << 20)
    for path_ in folder.rglob("*"):  # what is no longer there
        if path_.is_file() and path_.relative_to(folder).as_posix() not in stamps and not path_.name.startswith("."):
            path_.unlink(missing_ok=True)
    store.write_bytes(str(told), json.dumps(stamps).encode())
    return folder
