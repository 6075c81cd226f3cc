"""What a check says."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class State(StrEnum):
    """``problem``: builds fail, or will; ``note``: something that only some builds need."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


class Finding(NamedTuple):
    """One line: what was looked at, its state, what was found, and what to do about it (empty where all is well)."""

    subject: str
    state: State
    text: str
    remedy: str = ""


def ok(subject: str, text: str) -> Finding:
    """All is well."""
    return Finding(subject, State.OK, text)
