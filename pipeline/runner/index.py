"""What the footers of a run's fragments say, in one file: a shortcut past opening thousands of them, never the truth.

An entry counts only as long as its fragment's file is the one that it was made from, which the file's stamp tells. Each
stands in a line of its own that proves itself, so that neither writing nor reading holds more than one in memory. An
index that is lost, old or damaged costs time alone.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator
from typing import Any

from pipeline import store
from pipeline.config import UserError

logger = logging.getLogger(__name__)
NAME = "index.json"
_PROOF = 16
"""Hex digits of a line's sha256, in front of it."""


def write(root: str, noted: Iterable[tuple[str, str, Any]]) -> None:
    """Writes a run's index.

    Args:
        root: The run's folder.
        noted: Of each fragment its path below the root, the file's stamp, and what its footer says.
    """
    with store.atomic(store.join(root, NAME)) as file:
        for entry in noted:
            text = json.dumps(entry, separators=(",", ":")).encode()
            file.write(_proof(text) + text + b"\n")


def read(root: str) -> Iterator[tuple[str, str, Any]]:
    """The entries as they were written; those that are damaged are passed over."""
    path = store.join(root, NAME)
    try:
        with store.open_input(path) as file:
            for line in file:
                text = line[_PROOF:].rstrip(b"\n")
                if line[:_PROOF] != _proof(text):
                    logger.debug("%s is damaged, or of another version, and not used any further", path)
                    return
                name, stamp, said = json.loads(text)
                yield name, stamp, said
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, UserError):
        return


def _proof(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest()[:_PROOF].encode()
