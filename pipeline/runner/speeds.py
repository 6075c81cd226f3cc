"""How fast a machine runs a profile: published figures (``profiles/speeds.json``), or those of ``spotdiff bench``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from pipeline import store
from pipeline.config import PROFILES, Profile, UserError, first_problem
from pipeline.model_refs import Settings

PUBLISHED = PROFILES / "speeds.json"
Speed = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class StageSpeed(Settings):
    """One of the two stages that generate.

    Attributes:
        steps_per_s: Denoised image-steps a second, of one device.
        judges_per_s: Pictures a second of each network that looks at every picture, on the same device.
        cpu_s: Seconds of one core a picture, for PNG and poses, beside the device; 0: in the figures above.
    """

    steps_per_s: Speed
    judges_per_s: dict[str, Speed] = Field(default_factory=dict)
    cpu_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0


class Speeds(Settings):
    """What a device was measured to do.

    Attributes:
        gpu: Its name, lower case; ``cpu`` for a machine without one, which then counts as one device.
        family, size: Of the models that ran: their kind and the pictures' side, pixels.
        conditions, source: How it was measured, and by whom.
    """

    gpu: str
    family: str
    size: int
    conditions: str = ""
    source: str
    subjects: StageSpeed
    backgrounds: StageSpeed


def published(profile: Profile, gpu: str) -> Speeds:
    """The published speeds of a GPU for a profile's models.

    Raises:
        UserError: There are none.
    """
    known = TypeAdapter(list[Speeds]).validate_json(PUBLISHED.read_bytes())
    for one in known:
        if one.gpu == gpu.lower() and not misfit(one, profile):
            return one
    there = ", ".join(f"{one.gpu} ({one.family}, {one.size} px)" for one in known)
    raise UserError(
        f"--gpu {gpu}: no published speeds for {family_of(profile)} at {profile.sources.size} px; known: {there}; run "
        f"`spotdiff bench --profile {profile.name} --out FILE` on that machine, and give FILE by --speeds"
    )


def measured(path: Path, profile: Profile) -> Speeds:
    """What ``spotdiff bench`` wrote.

    Raises:
        UserError: Not such a file, or of another family or size than the profile's.
    """
    try:
        speeds = Speeds.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UserError(f"--speeds {path}: {error.strerror or error}") from error
    except ValidationError as error:
        raise UserError(f"--speeds {path}: {first_problem(error)}; `spotdiff bench --out` writes one") from error
    if why := misfit(speeds, profile):
        raise UserError(f"--speeds {path}: {why}; measure with `spotdiff bench --profile {profile.name}`")
    return speeds


def save(speeds: Speeds, path: str) -> None:
    """Writes what :func:`measured` reads."""
    store.write_bytes(path, (speeds.model_dump_json(indent=1) + "\n").encode())


def family_of(profile: Profile) -> str:
    """The kind of a profile's diffusion models."""
    return profile.models.base.kind or "sd"


def misfit(speeds: Speeds, profile: Profile) -> str | None:
    """Why speeds say nothing about a profile; None: they do."""
    mine = (family_of(profile), profile.sources.size)
    if (speeds.family, speeds.size) == mine:
        return None
    return f"of {speeds.family} at {speeds.size} px, but profile {profile.name} is {mine[0]} at {mine[1]} px"
