"""What the footers of a run's fragments say, in one file: a shortcut past opening thousands of them, never the truth.

An entry counts only as long as its fragment's file is the one that it was made from, which the file's stamp tells. An
index that is lost, old or damaged costs time alone.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from typing import Any

from pipeline import store
from pipeline.config import UserError

logger = logging.getLogger(__name__)
NAME = "index.json"


def write(root: str, noted: Mapping[str, Any]) -> None:
    """Writes a run's index.

    Args:
        root: The run's folder.
        noted: By the fragment's path below the root: the file's stamp and what its footer says.
    """
    text = json.dumps(noted, separators=(",", ":")).encode()
    store.write_bytes(store.join(root, NAME), hashlib.sha256(text).hexdigest().encode() + b"\n" + text)


def read(root: str) -> dict[str, Any]:
    """The index as it was written; empty where there is none, or none that is whole."""
    try:
        digest, _, text = store.read_bytes(store.join(root, NAME)).partition(b"\n")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, UserError):
        return {}
    if hashlib.sha256(text).hexdigest().encode() != digest:
        logger.debug("the index of %s is damaged and not used", root)
        return {}
    return dict(json.loads(text))
