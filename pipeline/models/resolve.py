"""From a profile's :class:`~pipeline.config.ModelRef` to a folder on this machine, and to what names its content.

``package:FOLDER`` lies inside the ``pipeline`` package; ``fetched:NAME`` in ``--models-root`` or in the models folder,
where ``spotdiff models fetch`` puts it; all else in ``--models-root``/owner/name, a folder in hub layout
that stands in for the repo, or on the hub (in its cache alone under ``HF_HUB_OFFLINE=1``).
"""

from __future__ import annotations

import functools
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pipeline
from pipeline import store
from pipeline.config import ModelRef, UserError
from pipeline.models.fetch import fetch_command
from pipeline.models.mirror import mirrored

_PACKAGE, _FETCHED = "package:", "fetched:"
_CONTENT = {".json", ".txt", ".safetensors", ".bin", ".pt", ".pth", ".model", ".tflite"}
_LARGE = 64 << 20  # bytes; beyond, a stand-in's file is known by samples of it, so that a start does not read gigabytes
_SAMPLES = 256


def models_folder() -> Path:
    """Where fetched models are kept: ``$SPOTDIFF_MODELS``, else a folder of the user's cache."""
    told = os.environ.get("SPOTDIFF_MODELS")
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(told or f"{cache}/spotdiff10k/models").expanduser()


@dataclass(frozen=True)
class Model:
    """A model that stages can hold: small, hashable, loads nothing.

    Attributes:
        ref: What the profile says.
        root: ``--models-root``, or None.
    """

    ref: ModelRef
    root: str | None = None

    def identity(self) -> dict[str, Any]:
        """What the results made with the model depend on; JSON-able. For a stage's settings."""
        found = {
            **self.ref.model_dump(include={"repo", "subfolder", "variant", "dtype", "checkpoint", "kind"}),
            "fingerprint": self.fingerprint(),
        }
        return {**found, "detector": self.detector.identity()} if self.detector else found

    @property
    def detector(self) -> Model | None:
        """The network that finds people for this one."""
        return Model(self.ref.detector, self.root) if self.ref.detector else None

    def fingerprint(self) -> str:
        """The revision for the hub, sha256 of the content (64 hex) for a shipped folder or a stand-in.

        A single file whose sha256 the profile states needs no revision.

        Raises:
            UserError: The folder is missing, or a hub repo has no revision.
        """
        local = self.local()
        if local:
            return _content(local)
        pinned = self.ref.files.get(self.ref.checkpoint or "")
        known = self.ref.revision or (pinned.sha256 if pinned else None)
        if not known:
            raise UserError(
                f"model {self.ref.repo}: no revision; pin the repo's commit in the profile (`spotdiff models lock` "
                "finds it), or put the model below --models-root"
            )
        return known

    def folder(self, *patterns: str) -> Path:
        """The folder with the model's files (``subfolder`` included).

        Args:
            patterns: File patterns to fetch from the hub, e.g. ``unet/*.safetensors``.

        Raises:
            UserError: It is not there; names the repo and the remedy.
        """
        local = self.local()
        if local:
            return local
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError
        from huggingface_hub.utils import logging as hub_logging

        hub_logging.set_verbosity_error()  # each try would be told, and then the one line that matters
        prefix = f"{self.ref.subfolder}/" if self.ref.subfolder else ""
        wanted = [prefix + pattern for pattern in patterns]
        try:
            found = snapshot_download(self.ref.repo, revision=self.ref.revision, allow_patterns=wanted)
        except (OSError, ValueError, HfHubHTTPError) as error:
            place = f"--models-root {self.root}" if self.root else "--models-root"
            raise UserError(
                f"model {self.ref.repo} (revision {self.ref.revision}): not on this machine and not to be had from the "
                f"hub ({type(error).__name__}); put it in hub layout below {place} as {self.ref.repo}, or let the hub "
                "be reached (HF_HUB_OFFLINE unset)"
            ) from error
        return Path(found) / prefix

    def network_dir(self) -> Path:
        """The folder of a single network: its weights (of the variant), configuration and vocabulary."""
        return self.folder(*self.network_patterns)

    def pipeline_dir(self) -> Path:
        """The folder of a diffusers pipeline, a subfolder per network; other formats of the same weights stay away."""
        return self.folder(*self.pipeline_patterns)

    def file(self) -> Path:
        """The single file named by ``checkpoint``."""
        assert self.ref.checkpoint
        path = self.folder(self.ref.checkpoint) / self.ref.checkpoint
        if not path.is_file():
            raise UserError(f"model {self.ref.repo}: no file {self.ref.checkpoint} in {path.parent}")
        return path

    @property
    def network_patterns(self) -> tuple[str, ...]:
        """The files of :meth:`network_dir`, below the subfolder."""
        return "*.json", "*.txt", self._weights

    @property
    def pipeline_patterns(self) -> tuple[str, ...]:
        """The files of :meth:`pipeline_dir`."""
        return "model_index.json", "*/*.json", "*/*.txt", f"*/{self._weights}"

    @property
    def _weights(self) -> str:
        return f"*.{self.ref.variant}.safetensors" if self.ref.variant else "*model.safetensors"

    def local(self) -> Path | None:
        """The folder of a shipped or fetched model or of a stand-in; None: the hub has to be asked."""
        subfolder = self.ref.subfolder or ""
        if self.ref.repo.startswith(_PACKAGE):
            shipped = Path(pipeline.__file__).parent / self.ref.repo.removeprefix(_PACKAGE) / subfolder
            if not shipped.is_dir():
                raise UserError(
                    f"model {self.ref.repo}: {shipped} is missing; install the package again with its weights, "
                    "or train them with `python -m tinyworld.train`"
                )
            return shipped
        if self.root and not store.is_local(self.root):
            return self._mirrored(subfolder)
        if self.root and not Path(self.root).is_dir():
            raise UserError(f"--models-root {self.root}: no such folder")
        if self.ref.repo.startswith(_FETCHED):
            return self._fetched()
        roots = [Path(self.root)] if self.root else []
        if self.ref.url:  # not from the hub, so not in its cache
            roots.append(models_folder())
        return next(
            (root / self.ref.repo / subfolder for root in roots if (root / self.ref.repo / subfolder).is_dir()), None
        )

    def _mirrored(self, subfolder: str) -> Path | None:
        """The copy of a stand-in that lies in an object store."""
        assert self.root
        fetched = self.ref.repo.startswith(_FETCHED)
        names = [self.ref.repo.removeprefix(_FETCHED)] if fetched else [self.ref.repo, *filter(None, [subfolder])]
        copy = mirrored(store.join(self.root, *names), models_folder() / "mirror")
        return self._below([models_folder()]) if fetched and copy is None else copy

    def _fetched(self) -> Path:
        return self._below([Path(self.root), models_folder()] if self.root else [models_folder()])

    def _below(self, roots: list[Path]) -> Path:
        """A fetched model below the first of these folders that has it."""
        name = self.ref.repo.removeprefix(_FETCHED)
        for root in roots:
            if (root / name).is_dir():
                return root / name
        places = " nor in ".join(str(root) for root in roots)
        raise UserError(f"model {self.ref.repo}: not in {places}; run `{fetch_command(name)}`")


@functools.cache
def _content(folder: Path) -> str:
    """sha256 over the names and the content of a folder's model files."""
    whole = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.suffix in _CONTENT and p.is_file()):
        whole.update(path.relative_to(folder).as_posix().encode() + b"\0" + _file_digest(path))
    return whole.hexdigest()


def _file_digest(path: Path) -> bytes:
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= _LARGE:
            return hashlib.file_digest(file, "sha256").digest()
        sampled = hashlib.sha256(str(size).encode())
        for number in range(_SAMPLES):
            file.seek((size - 4096) * number // (_SAMPLES - 1))
            sampled.update(file.read(4096))
        return sampled.digest()
