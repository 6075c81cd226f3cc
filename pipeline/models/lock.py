"""Which files a profile's models are made of, by role: what is wanted of which repo, and what each file must be.

Pins stand in the profile's lock, ``NAME.lock.json`` beside ``NAME.toml``; :func:`pipeline.config.load_profile` puts
them into each model's ``files``. ``spotdiff models lock`` writes it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from pipeline import store
from pipeline.config import ModelFile, Profile
from pipeline.models.resolve import Model

PIPELINES = ("base", "inpaint")
"""Roles whose repo is a whole diffusers pipeline."""
_UNUSED = "safety_checker/"
"""A pipeline's own copy of what has a role of its own."""


@dataclass(frozen=True)
class Wanted:
    """A model that comes from the hub."""

    role: str
    model: Model

    @property
    def repo(self) -> str:
        return self.model.ref.repo

    @property
    def whole(self) -> Model:
        """The repo itself, where the model is a subfolder of it."""
        return Model(self.model.ref.model_copy(update={"subfolder": None}), self.model.root)

    @property
    def name(self) -> str:
        """Repo and commit, for messages."""
        revision = self.model.ref.revision
        return f"{self.repo} @ {revision[:12]}" if revision else f"{self.repo} (no revision)"

    @property
    def pins(self) -> Mapping[str, ModelFile]:
        """What the files must be, by path in the repo."""
        return self.model.ref.files

    @property
    def complete(self) -> bool:
        """Whether all files are pinned; else only the hub knows their names."""
        return all(pin.sha256 for pin in self.pins.values()) and not self.unmet(self.pins, also_small=True)

    def matching(self, paths: Iterable[str]) -> list[str]:
        """Those of a repo's paths that are wanted, sorted."""
        mine = (path for path in paths if self.role not in PIPELINES or not path.startswith(_UNUSED))
        return sorted(path for path in mine if any(_match(path, pattern) for pattern in self._patterns))

    def unmet(self, paths: Iterable[str], also_small: bool = False) -> list[str]:
        """Patterns of weights (and of configs, not of vocabularies) that no path meets."""
        given = list(paths)
        left_out = (".txt",) if also_small else (".txt", ".json")
        patterns = [pattern for pattern in self._patterns if not pattern.endswith(left_out)]
        return [pattern for pattern in patterns if not any(_match(path, pattern) for path in given)]

    @property
    def _patterns(self) -> list[str]:
        ref = self.model.ref
        if ref.checkpoint:
            patterns: tuple[str, ...] = (ref.checkpoint,)
        else:
            patterns = self.model.pipeline_patterns if self.role in PIPELINES else self.model.network_patterns
        return [f"{ref.subfolder}/{pattern}" if ref.subfolder else pattern for pattern in patterns]


def wanted(profile: Profile, root: str | None = None) -> list[Wanted]:
    """A profile's models from the hub, by role; what ships with the package or comes in a wheel is left out."""
    return [Wanted(role, Model(ref, root)) for role, ref in profile.models.roles() if ":" not in ref.repo]


def entry(want: Wanted, revision: str | None, files: Mapping[str, ModelFile]) -> dict[str, Any]:
    """A model's entry in the lock."""
    url = {"url": want.model.ref.url} if want.model.ref.url else {}
    return {
        "repo": want.repo,
        **({"revision": revision} if revision else {}),
        **url,
        "files": {path: files[path].model_dump(exclude_none=True) for path in sorted(files)},
    }


def save_lock(entries: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Writes a lock, as a whole or not at all."""
    store.write_bytes(str(path), (json.dumps(entries, indent=1) + "\n").encode())


def _match(path: str, pattern: str) -> bool:
    """As a glob in which ``*`` stays in its folder."""
    parts, wanted_parts = path.split("/"), pattern.split("/")
    return len(parts) == len(wanted_parts) and all(map(fnmatch, parts, wanted_parts))
