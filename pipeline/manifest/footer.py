"""What a manifest says about how it was made; kept in its Parquet footer as JSON."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from pipeline import ids
from pipeline.config import BuildConfig, Profile
from pipeline.manifest.schema import FORMAT

_LIBRARIES = (
    "torch", "diffusers", "transformers", "segment-anything", "controlnet-aux",
    "numpy", "pillow", "opencv-python-headless", "pyarrow",
)  # fmt: skip


def describe(profile: Profile, config: BuildConfig, fingerprints: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The footer's content, but for ``digest`` and ``rows``, which are added on writing.

    Args:
        profile: All of it goes in, thresholds included.
        config: The build.
        fingerprints: Digest of each model's files by its role (``base``, ``controlnet`` ...), where known.
    """
    prints = dict(fingerprints or {})
    models = [
        {"role": role, **model, "fingerprint": prints.get(role)}
        for role, model in profile.models.model_dump().items()
        if model is not None
    ]
    asked = {name: getattr(config, name) for name in ("seed", "subjects", "backgrounds", "limit")}
    return {
        "format": FORMAT,
        "run": Path(config.manifest).stem,
        "run_id": ids.digest([profile.model_dump(mode="json"), asked, prints, code_version()])[: ids.ID_DIGITS],
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "code_version": code_version(),
        "profile": profile.model_dump(mode="json"),
        "config": config.model_dump(mode="json"),
        "models": models,
        "scheduler": profile.scheduler.model_dump(mode="json"),
        "num_inference_steps": {
            "subjects": profile.subjects.num_inference_steps,
            "backgrounds": profile.backgrounds.num_inference_steps,
        },
        "guidance_scale": {
            "subjects": profile.subjects.guidance_scale,
            "backgrounds": profile.backgrounds.guidance_scale,
        },
        "versions": {name: version for name in _LIBRARIES if (version := _version(name))},
    }


def code_version() -> str:
    """The package's version, with the commit where it runs from a checkout."""
    version = _version("spotdiff10k") or "0"
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return version
    try:
        command = ["git", "-C", str(root), "rev-parse", "--short=12", "HEAD"]
        commit = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return version
    return f"{version}+g{commit}"


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
