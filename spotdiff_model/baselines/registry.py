"""Which baselines there are, and how they are saved and loaded."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import store
from pipeline.config import UserError, checked, first_problem
from spotdiff_model.baselines.config import BaselineConfig, Saved

if TYPE_CHECKING:
    from spotdiff_model.baselines.baseline import Baseline

CONFIG = "baseline.json"
WEIGHTS = "model.safetensors"
METHODS: Mapping[str, str] = {
    "nearid": "nearid:NearID",
    "ip-adapter": "ip_adapter:IPAdapter",
    "ip-adapter-plus": "ip_adapter:IPAdapterPlus",
    "elite-global": "elite:EliteGlobal",
    "elite": "elite:Elite",
    "textual-inversion": "textual_inversion:TextualInversion",
    "dreambooth": "dreambooth:DreamBooth",
    "blip-diffusion": "blip_diffusion:BlipDiffusion",
    "moma": "moma:MoMA",
    "disenvisioner": "disenvisioner:DisEnvisioner",
}
"""File and class by name."""


def method_class(name: str) -> type[Baseline]:
    """The class of a method.

    Raises:
        UserError: There is none of that name.
    """
    if name not in METHODS:
        raise UserError(f"--method {name!r}: is none of {', '.join(METHODS)}")
    module, _, kind = METHODS[name].partition(":")
    found: type[Baseline] = getattr(importlib.import_module(f"spotdiff_model.baselines.{module}"), kind)
    return found


def baseline_config(method: str, **values: Any) -> BaselineConfig:
    """A checked config, on the method's own defaults.

    Raises:
        UserError: Names the first wrong field, or there is no such method.
    """
    defaults = {"output_dir": f"work/{method}", **method_class(method).defaults}
    given = {name: value for name, value in values.items() if value is not None}
    return checked(BaselineConfig, f"training of {method}", {**defaults, **given, "method": method})


def save_baseline(baseline: Baseline, folder: Path) -> Path:
    """Writes what was trained, and what it needs to be of use."""
    from safetensors.torch import save

    weights = {name: parameter.detach().cpu().contiguous() for name, parameter in baseline.trained().items()}
    store.write_bytes(str(folder / WEIGHTS), save(weights))
    store.write_bytes(str(folder / CONFIG), baseline.saved.model_dump_json(indent=1).encode())
    return folder


def load_baseline(folder: str | Path, models_root: str | None = None) -> Baseline:
    """A trained baseline.

    Args:
        folder: That :func:`save_baseline` has written.
        models_root: Folder in hub layout that stands in for the hub.

    Raises:
        UserError: The folder holds none, or a base model is not to be had.
    """
    import torch
    from pydantic import ValidationError
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from spotdiff_model.baselines.frozen import Frozen

    try:
        saved = Saved.model_validate_json((Path(folder) / CONFIG).read_text("utf-8"))
    except OSError as error:
        raise UserError(f"baseline {folder}: no {CONFIG}; name the output folder of a training") from error
    except ValidationError as error:
        raise UserError(f"baseline {folder}: {CONFIG}: {first_problem(error)}; train it again") from error
    frozen = Frozen.load(saved.models, saved.sampling, models_root or saved.config.models_root)
    baseline = method_class(saved.config.method)(saved, frozen)
    baseline.to(frozen.device)
    try:
        weights = load_file(Path(folder) / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise UserError(f"baseline {folder}: no readable {WEIGHTS}; train it again") from error
    own = baseline.trained()
    if weights.keys() != own.keys() or any(weights[name].shape != own[name].shape for name in own):
        raise UserError(f"baseline {folder}: {WEIGHTS} does not fit {CONFIG}; train it again")
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(weights[name])
    return baseline.eval()
