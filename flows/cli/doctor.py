"""``spotdiff doctor``: prints what the checks find."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

from flows.cli.console import out
from flows.doctor import machine, software
from flows.doctor.finding import Finding, State

_STYLE = {State.OK: "green", State.NOTE: "yellow", State.PROBLEM: "bold red"}


def examine(models_root: str | None, work: str, as_json: bool) -> bool:
    """Looks at the machine and says what it finds; whether builds can run."""
    checks: list[Callable[[], Iterable[Finding]]] = [
        software.versions,
        machine.devices,
        machine.memory,
        lambda: machine.disks(work),
        lambda: software.models(models_root),
        software.prefect,
        software.ray,
        lambda: software.storage(work),
    ]
    found = [finding for check in checks for finding in check()]
    if as_json:
        out.print(json.dumps([finding._asdict() for finding in found], indent=1))
    else:
        for finding in found:
            remedy = f"  -> {finding.remedy}" if finding.remedy else ""
            out.print(f"{finding.state:8} {finding.subject:26} {finding.text}{remedy}", style=_STYLE[finding.state])
    return all(finding.state != State.PROBLEM for finding in found)
