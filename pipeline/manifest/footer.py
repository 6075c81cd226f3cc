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
from pipeline.models.device import device_name
from pipeline.models.memory import halved

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
        for role, model in ((role, ref.model_dump(mode="json")) for role, ref in profile.models.roles())
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
        "schedulers": {name: one.model_dump(mode="json") for name, one in profile.schedulers.items()},
        "digest_scope": _digest_scope(profile),
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


def _digest_scope(profile: Profile) -> dict[str, Any]:
    """Where the same digest is to be expected, as far as this process knows where the pictures were made.

    A picture's last bits depend on the shape of its batch, on a GPU also on the card and its kernels; so a build whose
    batches were halved for want of memory may differ in them.
    """
    return {
        "device": device_name(),
        "torch_threads": profile.torch_threads,
        "batch_sizes": {"subjects": profile.subjects.batch_size, "backgrounds": profile.backgrounds.batch_size},
        "halved": halved(),
        "holds_for": "the same versions, device, threads and batch sizes; none of `halved`, or the same ones",
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
