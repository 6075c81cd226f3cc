"""Files that are finished out of sight and put in their places in one short go."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from pipeline import hidden_names, store
from pipeline.manifest.places import folder_of, name_of


class Staged:
    """A file to write to; :meth:`place` puts it where it belongs.

    On local disk it stands under a hidden name in the manifest's folder, and placing it is a rename. For an object
    store it is written to the machine's temporary folder, :meth:`finish` uploads it under a hidden name, and placing
    it is a copy inside the store.

    Attributes:
        file: Open for reading and writing until :meth:`finish`.
    """

    def __init__(self, beside: str) -> None:
        """Opens a hidden file beside ``beside``, whose folder is made."""
        fs, path = store.filesystem(beside)
        self._local = store.is_local(beside)
        hidden = hidden_names.temporary_name(Path(path))
        self._name = str(hidden) if self._local else store.join(folder_of(path), hidden.name)
        self._fs = fs
        if self._local:
            hidden.parent.mkdir(parents=True, exist_ok=True)
            self.file: IO[bytes] = open(hidden, "x+b")  # noqa: SIM115  (lives as long as this object)
        else:
            self.file = tempfile.TemporaryFile()  # noqa: SIM115

    def finish(self) -> None:
        """Makes what was written safe; from here on it can only be placed."""
        self.file.flush()
        if self._local:
            os.fsync(self.file.fileno())
            self.file.close()
            return
        self.file.seek(0)
        with self._fs.open(self._name, "wb") as remote:
            shutil.copyfileobj(self.file, remote, 1 << 20)
        self.file.close()

    def place(self, url: str) -> None:
        """Puts the file in its place; an old one is replaced as a whole."""
        _, path = store.filesystem(url)
        if self._local:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            os.replace(self._name, path)
            store.sync_folder(Path(path).parent)
        else:
            self._fs.cp_file(self._name, path)
            self._fs.rm_file(self._name)

    def discard(self) -> None:
        """Removes the file, unless it has been placed."""
        with suppress(OSError):  # on a full disk closing fails as writing did, and would hide which file that was
            self.file.close()
        with suppress(OSError):
            self._fs.rm_file(self._name)


def strays(url: str) -> Iterator[str]:
    """Hidden files beside ``url`` that were to become it, and that no living writer holds.

    In an object store the manifest's lock sees to it that there is no other writer.
    """
    fs, path = store.filesystem(url)
    folder, name = folder_of(path), name_of(path)
    try:
        entries = fs.ls(folder, detail=True)
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        hidden = name_of(str(entry["name"]))
        if hidden_names.is_temporary_of(hidden, name) and (
            not store.is_local(url) or hidden_names.is_stray(hidden, entry["mtime"])
        ):
            yield store.join(folder_of(url), hidden)
