"""Versions, models, Prefect, Ray and object stores."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from importlib import metadata, util

from flows.doctor.finding import Finding, State, ok
from pipeline import store
from pipeline.config import UserError, load_profile, shipped_profiles
from pipeline.models.hub import place
from pipeline.models.lock import wanted
from pipeline.models.resolve import Model

_NEEDED = ("torch", "torchvision", "diffusers", "transformers", "controlnet-aux", "segment-anything", "prefect",
           "fastapi", "pyarrow", "pydantic")  # fmt: skip
_INSTALL = "pip install -c constraints.txt -e ."


def versions() -> Iterator[Finding]:
    """What must be installed, and what must not."""
    yield ok("python", f"{platform.python_version()} at {sys.executable}")
    found = {name: installed(name) for name in _NEEDED}
    for name in [name for name, version in found.items() if version is None]:
        yield Finding("versions", State.PROBLEM, f"{name} is not installed", _INSTALL)
    here = {name: version for name, version in found.items() if version}
    yield ok("versions", ", ".join(f"{name} {version}" for name, version in here.items()))
    if "prefect" in here and _numbers(here["prefect"])[:2] != (3, 8):
        yield Finding("versions", State.PROBLEM, f"prefect {here['prefect']}", "3.8 is wanted: " + _INSTALL)
    if "fastapi" in here and _numbers(here["fastapi"]) >= (0, 151):
        text = f"fastapi {here['fastapi']} breaks prefect 3.8 at the first flow"
        yield Finding("versions", State.PROBLEM, text, "pip install 'fastapi<0.151'")
    if util.find_spec("mediapipe"):
        remedy = "pip uninstall mediapipe; BlazePose's files come with `spotdiff models fetch photos`"
        yield Finding("versions", State.PROBLEM, "an installed mediapipe breaks controlnet-aux", remedy)
    if here.get("torch", "").endswith("+cpu"):
        yield Finding("versions", State.NOTE, "torch was built without CUDA", "install the CUDA build to use a GPU")


def models(root: str | None) -> Iterator[Finding]:
    """Whether the files of each profile's models are on this machine; their content is ``models verify``'s business."""
    for name in shipped_profiles():
        try:
            yield _models_of(name, root)
        except UserError as error:
            yield Finding(f"models: {name}", State.PROBLEM, str(error), "mend the profile or its lock")


def prefect() -> Iterator[Finding]:
    """The server that builds would ask."""
    url = os.environ.get("PREFECT_API_URL")
    if not url:
        yield ok("prefect", "PREFECT_API_URL is not set: each build starts a server of its own")
        return
    from flows.server import reachable

    if reachable(url):
        yield ok("prefect", f"a server answers at {url}")
    else:
        remedy = "start it (`prefect server start`), or unset PREFECT_API_URL to do without"
        yield Finding("prefect", State.PROBLEM, f"no server answers at {url}", remedy)


def ray() -> Iterator[Finding]:
    """The packages for several machines."""
    missing = [name for name, module in (("ray", "ray"), ("prefect-ray", "prefect_ray")) if not util.find_spec(module)]
    if missing:
        remedy = "only for several machines: pip install -c constraints.txt -e '.[ray]'"
        yield Finding("ray", State.NOTE, f"{' and '.join(missing)} not installed", remedy)
    else:
        address = os.environ.get("RAY_ADDRESS") or "not set"
        yield ok("ray", f"ray {installed('ray')}, prefect-ray {installed('prefect-ray')}, RAY_ADDRESS {address}")


def storage(work: str) -> Iterator[Finding]:
    """Object stores: the package, and the place itself where ``--work`` names one."""
    if not util.find_spec("s3fs"):
        state = State.NOTE if store.is_local(work) else State.PROBLEM
        yield Finding("storage", state, "s3fs is not installed", "for s3:// paths: pip install -e '.[s3]'")
    elif store.is_local(work):
        yield ok("storage", f"s3:// paths can be used (s3fs {installed('s3fs')})")
    else:
        yield _reached(work)


def _reached(work: str) -> Finding:
    try:
        store.list_files(work)
    except Exception as error:  # whatever the store's library raises
        remedy = "check AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use a local path"
        return Finding("storage", State.PROBLEM, f"{work}: {' '.join(str(error).split())[:160]}", remedy)
    return ok("storage", f"{work} can be read")


def _models_of(name: str, root: str | None) -> Finding:
    profile = load_profile(name)
    hub = {want.role: want for want in wanted(profile, root)}
    missing = []
    for role, ref in profile.models.roles():
        try:
            there = place(hub[role], None) if role in hub else Model(ref, root).local()
        except UserError:
            there = None
        if there is None:
            missing.append(role)
    if not missing:
        return ok(f"models: {name}", "all there")
    shipped = not any(":" not in ref.repo or ref.repo.startswith("fetched:") for _, ref in profile.models.roles())
    remedy = "install the package again with its weights" if shipped else f"spotdiff models fetch {name}"
    state = State.PROBLEM if shipped else State.NOTE
    return Finding(f"models: {name}", state, f"not here: {', '.join(missing)}", remedy)


def installed(name: str) -> str | None:
    """A package's version; None: it is not there."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("+")[0].split(".") if part.isdigit())
