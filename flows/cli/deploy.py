"""``spotdiff deploy``: sets up a Prefect server for builds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flows.cli.console import out
from pipeline.config import UserError


def run_deploy(folder: Path, limits: Sequence[str]) -> None:
    """Sets up the server that PREFECT_API_URL names.

    Args:
        folder: With ``prefect.yaml``.
        limits: ``POOL=N``, as typed.
    """
    chosen = _limits(limits)
    import httpx
    from prefect.settings import get_current_settings

    from flows.deploy import POOLS, deploy

    url = get_current_settings().api.url
    if not url:
        raise UserError("PREFECT_API_URL is not set: name the server that is to run builds")
    wanted = {**POOLS, **chosen}
    try:
        deploy(folder, wanted)
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        raise UserError(f"Prefect at {url} refuses ({status}); see to PREFECT_API_AUTH_STRING") from error
    except httpx.HTTPError as error:
        raise UserError(f"no Prefect server answers at {url}: {error}") from error
    pools = ", ".join(f"{name} ({limit} at a time)" for name, limit in wanted.items())
    out.print(f"{url}: work pools {pools}; deployments of prefect.yaml; automations that end dead runs", markup=False)


def _limits(told: Sequence[str]) -> dict[str, int]:
    limits = {}
    for text in told:
        name, _, number = text.partition("=")
        if not name or not number.isdecimal() or not int(number):
            raise UserError(f"--limit {text}: say POOL=N, e.g. gpu-cluster=2")
        limits[name] = int(number)
    return limits
