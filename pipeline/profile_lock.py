"""A profile's lock, ``NAME.lock.json`` beside ``NAME.toml``: what the files of its models must be, by role."""

from __future__ import annotations

import json
from typing import Any


def lock_path(profile: str) -> str:
    """Path or URL of the lock of a profile's file, whether it is there or not."""
    return profile.removesuffix(".toml") + ".lock.json"


def with_pins(models: dict[str, Any], lock: bytes) -> dict[str, Any]:
    """A profile's models with revision, url and files from its lock.

    Args:
        models: As in the TOML, by role.
        lock: What stands in the lock.

    Raises:
        ValueError: The lock is not readable, or is of other models.
    """
    entries = json.loads(lock.decode("utf-8"))
    pinned = dict(models)
    for role, entry in entries.items():
        name, _, part = role.partition(".")
        model = pinned.get(name)
        if part and isinstance(model, dict) and isinstance(model.get(part), dict):
            pinned[name] = {**model, part: _pinned(role, model[part], entry)}
        elif not part and isinstance(model, dict):
            pinned[name] = _pinned(role, model, entry)
        else:
            raise ValueError(f"{role}: the profile has no such model; remove the entry")
    return pinned


def _pinned(role: str, model: dict[str, Any], entry: dict[str, Any]) -> dict[str, Any]:
    if model.get("files"):  # the profile itself says more of it
        return model
    for field in ("repo", "revision"):
        if field in model and model[field] != entry.get(field):
            raise ValueError(
                f"{role}: is of {field} {entry.get(field)}, the profile names {model[field]}; remove the entry, and "
                "pin the model again with `spotdiff models lock`"
            )
    return {**{name: entry[name] for name in ("revision", "url") if name in entry}, **model, "files": entry["files"]}
