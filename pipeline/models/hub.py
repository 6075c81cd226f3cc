"""Gets a profile's model files from the hub, resuming, and checks them against the lock. Nothing is unpickled."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from pipeline.config import ModelFile, UserError
from pipeline.models.lock import Wanted
from pipeline.models.resolve import models_folder

Say = Callable[[str], None]
_ROOM = 0.02
"""Of the free space, what is left free."""


def fetch(wants: Sequence[Wanted], out: Path | None, say: Say) -> None:
    """Makes sure that all files are there, whole.

    Args:
        wants: Which models'.
        out: A folder for ``--models-root``, in hub layout; None: the hub's own cache.
        say: Told of each file.

    Raises:
        UserError: The hub cannot be reached or has no such file, the disk is too small, or a file is another one than
            is pinned.
    """
    plans = [(want, _files(want)) for want in wants]
    _check_room(plans, out)
    for want, files in plans:
        for path, pin in files.items():
            file, was_there = _get(want, path, pin, out)
            wrong = differs(file, pin)
            if wrong:
                _remove(file)
                raise UserError(
                    f"model {want.name}: {path}: {wrong}, so it was removed; run the command again, and if it stays "
                    "so, the repo has changed: compare its page with the profile's lock"
                )
            state = "sha256 checked" if pin.sha256 else "not pinned"
            say(f"{want.repo}/{path}: {'there' if was_there else 'fetched'}, {file.stat().st_size} bytes, {state}")


def resolve(want: Wanted, say: Say) -> tuple[str | None, dict[str, ModelFile]]:
    """The commit of a repo, and all wanted files with size and sha256, as the hub has them now.

    Raises:
        UserError: See :func:`fetch`.
    """
    if want.complete:
        return want.model.ref.revision, dict(want.pins)
    with _hub_errors(want):
        revision, files = _listing(want)
    with tempfile.TemporaryDirectory(prefix="spotdiff-lock-") as scratch:
        for path, said in files.items():
            if said.sha256 is None:  # the hub tells the hashes of large files only
                say(f"{want.repo}/{path}: read for its sha256")
                file = _download(want, path, Path(scratch), revision)
                files[path] = ModelFile(bytes=file.stat().st_size, sha256=sha256(file))
            _agree(want, path, files[path])
    return revision, files


def differs(file: Path, pin: ModelFile) -> str | None:
    """How a file differs from its pin; None: it does not."""
    size = file.stat().st_size
    if size != pin.bytes:
        return f"{size} bytes, not {pin.bytes}"
    digest = sha256(file) if pin.sha256 else None
    return f"sha256 {digest}, not {pin.sha256}" if digest != pin.sha256 else None


def sha256(file: Path) -> str:
    """Hex digest of a file's content."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def place(want: Wanted, out: Path | None) -> Path | None:
    """The folder that holds the repo's files here; None: there is none. Asks no hub."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    if out:
        return _inside(out, want.repo) if _inside(out, want.repo).is_dir() else None
    if local := want.whole.local():
        return local
    try:
        return Path(snapshot_download(want.repo, revision=want.model.ref.revision, local_files_only=True))
    except (LocalEntryNotFoundError, OSError, ValueError):
        return None


def _files(want: Wanted) -> dict[str, ModelFile]:
    """The wanted files with what is known of each: from the lock if it lists all, else with the hub's help."""
    if want.complete:
        return {path: want.pins[path] for path in want.matching(want.pins)}
    with _hub_errors(want):
        _, listed = _listing(want)
    for path, said in listed.items():
        _agree(want, path, said)
    # the hub's word on the size of a file is taken; its word on its content is no pin
    return {path: want.pins.get(path) or ModelFile(bytes=said.bytes) for path, said in listed.items()}


def _agree(want: Wanted, path: str, said: ModelFile) -> None:
    """Raises UserError where the hub says another hash than the lock."""
    pin = want.pins.get(path)
    if pin and pin.sha256 and said.sha256 and said.sha256 != pin.sha256:
        raise UserError(
            f"model {want.name}: {path}: the hub says sha256 {said.sha256}, the lock {pin.sha256}; find out which is "
            "right, and remove the wrong entry from the lock"
        )


def _listing(want: Wanted) -> tuple[str, dict[str, ModelFile]]:
    """The commit, and the wanted files with what the hub says of each."""
    from huggingface_hub import HfApi

    info = HfApi().model_info(want.repo, revision=want.model.ref.revision, files_metadata=True)
    said = {
        file.rfilename: ModelFile(bytes=file.size, sha256=file.lfs.sha256 if file.lfs else None)
        for file in info.siblings or []
        if file.size
    }
    files = {path: said[path] for path in want.matching(said)}
    for pattern in want.unmet(files):
        raise UserError(f"model {want.name}: no file {pattern} there; see variant and checkpoint in the profile")
    for path in want.pins.keys() - files.keys():
        raise UserError(f"model {want.name}: the lock lists {path}, the hub does not; see the repo's page")
    return str(info.sha), files


def _get(want: Wanted, path: str, pin: ModelFile, out: Path | None) -> tuple[Path, bool]:
    """A file's place, and whether it was there already."""
    url = want.model.ref.url
    local = out or (models_folder() if url else None)
    folder = _inside(local, want.repo) if local else None
    here = folder or place(want, None)
    file = _inside(here, path) if here else None
    if file and file.is_file():
        if differs(file, pin) is None:
            return file, True
        _remove(file)  # cut or changed since; the library would take it for what it once fetched
    if url and file:
        _download_url(want, url, file, pin)
        return file, False
    return _download(want, path, folder, want.model.ref.revision), False


def _download(want: Wanted, path: str, folder: Path | None, revision: str | None) -> Path:
    from huggingface_hub import hf_hub_download

    with _hub_errors(want):
        return Path(hf_hub_download(want.repo, path, revision=revision, local_dir=folder))


def _download_url(want: Wanted, url: str, file: Path, pin: ModelFile) -> None:
    """The same from another server; what an earlier attempt left is gone on with."""
    from huggingface_hub.file_download import http_get

    part = file.with_name(f"{file.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    there = part.stat().st_size if part.is_file() else 0
    if there > pin.bytes:
        part.unlink()
        there = 0
    with _hub_errors(want), part.open("ab") as content:
        http_get(url, content, resume_size=there, expected_size=pin.bytes)
    part.replace(file)


@contextmanager
def _hub_errors(want: Wanted) -> Iterator[None]:
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]

    try:
        yield
    except (OSError, ValueError, HTTPError) as error:
        if isinstance(error, UserError) or (isinstance(error, OSError) and error.filename):  # a full disk, say
            raise
        why = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(
            f"model {want.name}: {why}; on a machine that is online run `spotdiff models fetch PROFILE --out DIR`, "
            "copy DIR and name it with --models-root"
        ) from error


def _check_room(plans: Sequence[tuple[Wanted, Mapping[str, ModelFile]]], out: Path | None) -> None:
    """Raises UserError where the disk cannot hold what is still missing."""
    from huggingface_hub.constants import HF_HUB_CACHE

    missing = 0
    for want, files in plans:
        here = place(want, out)
        missing += sum(pin.bytes for path, pin in files.items() if not (here and (here / path).is_file()))
    folder = (out or Path(HF_HUB_CACHE)).absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free * (1 - _ROOM)
    if missing > free:
        raise UserError(
            f"{missing / 1e9:.1f} GB are to be fetched, {free / 1e9:.1f} GB are free on the disk of {folder}; "
            "name another place with --out (or HF_HOME)"
        )


def _inside(folder: Path, path: str) -> Path:
    """A path below a folder.

    Raises:
        UserError: It leads out of it.
    """
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise UserError(f"{path!r}: leads out of {folder}")
    return folder / path


def _remove(file: Path) -> None:
    """A link of the hub's cache together with what it leads to."""
    if file.is_symlink():
        file.resolve().unlink(missing_ok=True)
    file.unlink(missing_ok=True)
