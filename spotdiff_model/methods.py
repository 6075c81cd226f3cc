"""What ``--method`` names: our encoder, its variants, and the baselines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from pipeline.config import UserError
from spotdiff_model.config import TrainConfig

_CONTRAST: Mapping[str, Any] = {
    "subject_contrast": "near-identity",
    "text_weight": 0.0,
    "distillation_weight": 0.0,
    "orthogonality_weight": 0.0,
    "independence_weight": 0.0,
    "project": False,
}
OURS: Mapping[str, Mapping[str, Any]] = {
    "ours": {},
    "ours-no-text": {"text_weight": 0.0, "distillation_weight": 0.0},
    "nearid-experts": _CONTRAST,
    "nearid-no-experts": {**_CONTRAST, "experts": False},
}
"""Changes to :class:`~spotdiff_model.config.TrainConfig`: all of it; without what reads descriptions; NearID's contrast
with pose and background experts, and nothing else of ours; the same without the experts, so that only they differ."""
_READS = ("captions", "keypoints", "ids", "subject description")
_READ_LESS = {"ours-no-text": _READS[:3], "nearid-experts": _READS[:3], "nearid-no-experts": ("captions", "ids")}


def reads(method: str) -> tuple[str, ...]:
    """What a training of ours reads beside pictures."""
    return _READ_LESS.get(method, _READS)


class TrainOptions(TrainConfig):
    """Options of ``python -m spotdiff_model.train``: a training of ours, or of a baseline."""

    method: str = Field("ours", description=f"{', '.join(OURS)}, or a baseline; 'list' names them all.")
    unet: Literal["frozen", "kv", "full"] | None = Field(
        None, description="Baselines: what of the UNet is trained: nothing, cross-attention's keys and values, all."
    )
    scale: float | None = Field(None, ge=0, description="Baselines: strength of the subject in pictures.")
    pictures: int | None = Field(None, ge=1, le=4, description="Baselines trained on each subject: pictures of it.")
    search: bool = Field(False, description="Baselines: first try five learning rates on validation subjects.")


def split_options(options: Mapping[str, Any]) -> tuple[str, dict[str, Any], bool]:
    """Method, its settings, and whether a learning rate is to be searched.

    Raises:
        UserError: An option that the method does not have.
    """
    given = dict(options)
    method, search = str(given.pop("method", "ours")), bool(given.pop("search", False))
    if method in OURS:
        foreign = sorted({"unet", "scale", "pictures"} & given.keys()) + (["search"] if search else [])
        if foreign:
            raise UserError(f"--{foreign[0]}: is of baselines, and --method is {method}")
        fixed = sorted(set(OURS[method]) & given.keys())
        if fixed:
            raise UserError(f"--{fixed[0]}: is settled by --method {method}")
        given = {**given, **OURS[method]}
        if method != "ours":
            given.setdefault("output_dir", f"work/{method}")
    return method, given, search
