"""What the footer of a manifest says of how it was made, as lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.manifest.read import Manifest

_SHOWN_ELSEWHERE = frozenset({"models", "description", "name"})


def work_of(footer: Mapping[str, Any], attempts: Mapping[str, int], seconds: float | None) -> list[tuple[str, str]]:
    """What the build's pictures took, as far as it is known.

    Args:
        footer: The manifest's.
        attempts: Pictures that were generated, the rejected ones too, by what they are of: ``subjects``,
            ``backgrounds``.
        seconds: How long the run took.
    """
    steps = footer.get("num_inference_steps", {})
    if not all(isinstance(steps.get(name), int) for name in attempts):
        return []
    total = sum(count * steps[name] for name, count in attempts.items())
    parts = ", ".join(f"{count:,} {name} x {steps[name]}" for name, count in attempts.items())
    lines = [("image-steps", f"{total:,}: {parts}")]
    if seconds:
        minutes, rest = divmod(round(seconds), 60)
        hours, minutes = divmod(minutes, 60)
        lines += [
            ("time", f"{hours}:{minutes:02}:{rest:02} from the first finished shard to the last, pauses included"),
            ("image-steps/s", f"{total / seconds:.1f}, over that time"),
        ]
    return lines


def usage_of(footer: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the build used, as far as it was noted: machine time, energy, cost."""
    usage = footer.get("usage")
    if not isinstance(usage, Mapping):
        return []
    hours = usage["seconds"] / 3600
    lines = [("machine time", f"{hours:.2f} h in {usage['runs']} runs" if usage["runs"] > 1 else f"{hours:.2f} h")]
    if joules := usage.get("joules"):
        devices = ", ".join(f"{name} {value / 3.6e6:.3f}" for name, value in joules.items())
        lines.append(("energy", f"{sum(joules.values()) / 3.6e6:.3f} kWh, whole devices: {devices}"))
    if usage.get("cost") is not None:
        lines.append(("cost", f"{usage['cost']:,.2f} at {usage['price']:g} a machine and hour"))
    return lines


def facts_of(manifest: Manifest, licences: Mapping[str, int]) -> dict[str, Any]:
    """Lines for the page's tables.

    Args:
        manifest: The dataset.
        licences: Of the sources: rows by licence.

    Returns:
        ``made`` and ``settings`` as (name, value), ``models`` and ``licences`` as rows of a table.
    """
    footer = manifest.footer
    profile = footer.get("profile", {})
    made = {
        "manifest": manifest.path,
        "rows": f"{manifest.rows:,}",
        "files": len(manifest.paths),
        "digest": manifest.digest if footer.get("digest") else None,
        "profile": " — ".join(filter(None, [profile.get("name"), profile.get("description")])),
        "run": footer.get("run_id"),
        "created": footer.get("created"),
        "code": footer.get("code_version"),
        "seed": footer.get("config", {}).get("seed"),
        "chosen by": _said(footer.get("filtered")),
    }
    config = footer.get("config", {})
    asked = {f"build.{name}": value for name, value in config.items() if name != "manifest"}
    settings = {name: value for section in _SECTIONS for name, value in _flat(section, profile.get(section))}
    versions = {f"versions.{name}": version for name, version in footer.get("versions", {}).items()}
    return {
        "made": [(name, value) for name, value in made.items() if value not in (None, "")],
        "models": [
            {name: model.get(name) for name in ("role", "repo", "revision", "fingerprint", "dtype", "license")}
            for model in footer.get("models", [])
        ],
        "licences": [(name if name not in ("nan", "None") else None, count) for name, count in licences.items()],
        "settings": [(name, value) for name, value in {**asked, **settings, **versions}.items() if value is not None],
    }


_SECTIONS = ("sources", "poses", "subjects", "masks", "backgrounds", "quality", "splits", "scheduler")


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Nested settings as dotted names."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            if key not in _SHOWN_ELSEWHERE or name:
                yield from _flat(f"{name}.{key}" if name else str(key), one)
    elif value is not None:
        yield name, value


def _said(filtered: Any) -> str | None:
    if not isinstance(filtered, Mapping):
        return None
    return ", ".join(f"{name} {value}" for name, value in filtered.items() if name != "before")
