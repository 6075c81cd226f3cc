"""Families of diffusion models, one file each; a profile's ``kind`` names the file."""

from __future__ import annotations

import pkgutil
from importlib import import_module

from pipeline.config import UserError
from pipeline.models.families.family import Family
from pipeline.models.resolve import Model

_DEFAULT, _BASE = "sd", "family"


def family_of(model: Model) -> Family:
    """The family of a diffusion model.

    Raises:
        UserError: There is no file for its kind.
    """
    kind = model.ref.kind or _DEFAULT
    known = sorted(found.name for found in pkgutil.iter_modules(__path__) if found.name != _BASE)
    if kind not in known:
        raise UserError(f"model {model.ref.repo}: kind {kind!r} of a diffusion model is none of {', '.join(known)}")
    found: Family = import_module(f"{__name__}.{kind}").FAMILY
    return found
