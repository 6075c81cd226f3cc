"""Whether a model's files are there and whole, seen from their sizes alone: nothing is loaded, nothing unpickled."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from pipeline.config import UserError
from pipeline.models.resolve import Model

_WEIGHTS = {".safetensors", ".pth", ".bin", ".pt"}
_PIPELINES = ("base", "inpaint")
"""Roles whose folder holds a whole pipeline, a subfolder per network."""
_NO_NETWORKS = ("safety_checker", "feature_extractor", "image_encoder", "scheduler")
"""Parts of a pipeline that are not loaded, or hold no weights."""
_AGAIN = "get it again with `spotdiff models fetch`"
_HEADER = 8  # bytes: the length of a safetensors file's header


def check_files(role: str, model: Model) -> int:
    """Checks that a model can be had, fetching it from the hub if need be, and that its weights are whole.

    Args:
        role: In the profile, e.g. ``base``.
        model: The model.

    Returns:
        Bytes of its weights.

    Raises:
        UserError: A file is missing, cut short, or not what the profile says; names it and the remedy.
    """
    weights = list(_weights(role, model))
    for path in weights:
        if path.suffix == ".safetensors":
            _check_whole(model, path)
    root = _repo_folder(role, model)
    for name, wanted in model.ref.files.items():
        path = root / name
        if not path.is_file():
            raise UserError(f"model {model.ref.repo}: {path} is missing; get it with `spotdiff models fetch`")
        if path.stat().st_size != wanted.bytes:
            raise UserError(
                f"model {model.ref.repo}: {path} has {path.stat().st_size} bytes, not {wanted.bytes}: it was cut short "
                f"or is another file; {_AGAIN}"
            )
    return sum(path.stat().st_size for path in weights)


def _weights(role: str, model: Model) -> Iterator[Path]:
    """The files that will be loaded."""
    if model.ref.checkpoint:
        yield model.file()
        return
    if role not in _PIPELINES:
        folder = model.network_dir()
        found = [path for path in sorted(folder.iterdir()) if _of_variant(model, path)]
        if not found and not model.ref.repo.startswith("fetched:"):  # those prove themselves when they are fetched
            raise _none(model, folder)
        yield from found
        return
    folder = model.pipeline_dir()
    index = folder / "model_index.json"
    try:
        parts = json.loads(index.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"model {model.ref.repo}: {index}: {error}; {_AGAIN}") from error
    for part, said in parts.items():
        if not isinstance(said, list) or said[0] is None or part in _NO_NETWORKS or part.startswith("tokenizer"):
            continue
        found = [path for path in sorted((folder / part).glob("*")) if _of_variant(model, path)]
        if not found:
            raise _none(model, folder / part)
        yield from found


def _of_variant(model: Model, path: Path) -> bool:
    if path.suffix not in _WEIGHTS:
        return False
    variant = model.ref.variant
    stem = path.name.split("-000")[0].removesuffix(path.suffix)  # large files come in numbered parts
    return path.suffix == ".safetensors" and (stem.endswith(f".{variant}") if variant else stem.endswith("model"))


def _none(model: Model, folder: Path) -> UserError:
    variant = f" of variant {model.ref.variant}" if model.ref.variant else ""
    return UserError(
        f"model {model.ref.repo}: no safetensors{variant} in {folder}; get them with `spotdiff models fetch`"
    )


def _repo_folder(role: str, model: Model) -> Path:
    if not model.ref.files:
        return Path()
    folder = model.pipeline_dir() if role in _PIPELINES else model.folder(model.ref.checkpoint or "*")
    return folder.parents[len(Path(model.ref.subfolder).parts) - 1] if model.ref.subfolder else folder


def _check_whole(model: Model, path: Path) -> None:
    """Compares a safetensors file's size with what its own header says."""
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(_HEADER), "little")
            header = json.loads(file.read(length)) if length <= size - _HEADER else None
        ends = [] if header is None else [one["data_offsets"][1] for name, one in header.items() if name[:2] != "__"]
        wanted = _HEADER + length + max(ends, default=0)
    except (ValueError, KeyError, TypeError, AttributeError, MemoryError):
        wanted = -1
    if wanted != size:
        said = "is no safetensors file" if wanted < 0 else f"has {size} bytes, not {wanted}: it was cut short"
        raise UserError(f"model {model.ref.repo}: {path} {said}; {_AGAIN}")
