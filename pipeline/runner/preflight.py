"""What a build can know to be wrong before the first picture is opened.

Reading a profile and listing the sources comes before (:func:`pipeline.runner.build.open_build`). What is checked here
would else come to light after minutes, or when all the work is done and the manifest is to be written.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pipeline import banks, store
from pipeline.config import UserError
from pipeline.inputs.pose_file import read_pose_file
from pipeline.runner.build import Build
from pipeline.runner.fragments import Fragments
from pipeline.runner.model_checks import check_models

logger = logging.getLogger(__name__)

PNG_BYTES_PER_PIXEL = 1.5
"""Of a photograph-like picture in RGB."""
OBVIOUSLY = 0.1
"""A build is refused where less than this share of the estimated space is free; below all of it there is a warning."""


def check(build: Build, found: Fragments, *, here: bool = True) -> None:
    """Checks all that can be checked early.

    Args:
        build: About to be run.
        found: What of it is done already.
        here: Whether this machine does the work; else it need not have a GPU.

    Raises:
        UserError: Names the field or file that is wrong, and the remedy.
    """
    config = build.config
    if config.poses:
        read_pose_file(config.poses)
    _check_banks(build)
    if build.fingerprints:  # stages of the recipe, with models
        check_models(build, found, here)
    if store.is_local(config.manifest) and os.path.isdir(_local(config.manifest)):
        raise UserError(f"manifest {config.manifest}: a folder has that name; move it away, or choose another name")
    _check_writable("manifest", config.manifest.rpartition("/")[0] or ".")
    _check_writable("work", config.work)
    _check_space(build, found)


def _check_banks(build: Build) -> None:
    profile, config = build.profile, build.config
    shares = profile.splits.model_dump()
    shares["train"] = 1 - sum(shares.values())
    for name, count in ((profile.subject_bank, config.subjects), (profile.background_bank, config.backgrounds)):
        bank = banks.load(name)
        for split, share in shares.items():
            if share > 0:
                bank.check(split, count)


def _check_writable(field: str, folder: str) -> None:
    """Writes a file where the folder is, or is to be made, and removes it again."""
    try:
        if not store.is_local(folder):
            probe = store.join(folder, ".spotdiff-probe")
            store.write_bytes(probe, b"")
            store.remove(probe)
            return
        with tempfile.TemporaryFile(dir=_standing(folder)):
            pass
    except OSError as error:
        raise UserError(
            f"{field}: cannot write to {folder}: {error.strerror or error}; see to its permissions and its disk, "
            f"or name another place with --{field}"
        ) from error


def _check_space(build: Build, found: Fragments) -> None:
    """Compares a rough estimate with what is free: each picture stands in the work folder and in the manifest."""
    config = build.config
    sources = sum(
        len(shard.rows)
        for shard, chain in zip(build.shards, found.chains, strict=True)
        if len(chain) < len(build.stages)
    )
    rows = sources * config.subjects * config.backgrounds
    wanted = rows * build.profile.sources.size**2 * PNG_BYTES_PER_PIXEL
    asked: dict[int, tuple[list[str], float, Path]] = {}
    for field, folder in _local_folders(build):
        names, bytes_, _ = asked.get(folder.stat().st_dev, ([], 0.0, folder))
        asked[folder.stat().st_dev] = ([*names, field], bytes_ + wanted, folder)
    for names, bytes_, folder in asked.values():
        free = shutil.disk_usage(folder).free
        said = (
            f"{' and '.join(names)}: about {_gigabytes(bytes_)} are wanted for {rows} pictures, and "
            f"{_gigabytes(free)} are free on the disk of {folder}; free some, or name another place with --{names[0]}"
        )
        if free < OBVIOUSLY * bytes_:
            raise UserError(said)
        if free < bytes_:
            logger.warning("%s", said)


def _local_folders(build: Build) -> Iterator[tuple[str, Path]]:
    for field, url in (("work", build.config.work), ("manifest", build.config.manifest)):
        if store.is_local(url):
            yield field, _standing(url)


def _local(url: str) -> str:
    return store.filesystem(url)[1]


def _standing(url: str) -> Path:
    """The nearest folder above a local path, itself included, that is there.

    Raises:
        NotADirectoryError: A file is in the way.
    """
    path = Path(_local(url))
    while not path.exists():
        path = path.parent
    return path


def _gigabytes(number: float) -> str:
    return f"{number / 1e9:.3g} GB"
